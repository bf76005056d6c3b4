// SPDX-License-Identifier: MIT
/// The backends sysfs and uio on a tree of ordinary files, which can be read, written and mapped as sysfs's can.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <system_error>

#include "backends/sysfs.hpp"
#include "error_text.hpp"
#include "fake_tree.hpp"

namespace uiovfio {

using test::error_text;
using testing::HasSubstr;

namespace {

constexpr const char* kDevice = "0000:01:00.0";
const Bdf kBdf{0, 1, 0, 0};
constexpr std::chrono::seconds kPatience{120};
OpenOptions at_once() { return {.busy_timeout = std::chrono::milliseconds{0}}; }

/// The real system, of which single calls fail, and whose /dev/uio0 is a pipe.
class HalfRealSystem : public detail::System {
  public:
    std::map<std::string, int> failures;
    int uio = -1;

    int open(const char* path, int flags) noexcept override {
        EXPECT_NE(flags & O_CLOEXEC, 0) << path;
        if (fails("open")) return -1;
        if (std::string_view{path}.ends_with("/uio0")) return ::fcntl(uio, F_DUPFD_CLOEXEC, 0);
        return real().open(path, flags);
    }
    int close(int descriptor) noexcept override { return real().close(descriptor); }
    int ioctl(int, unsigned long, void*) noexcept override { return -1; }
    int ioctl(int, unsigned long, unsigned long) noexcept override { return -1; }
    ssize_t pread(int descriptor, void* buffer, std::size_t length, std::uint64_t offset) noexcept override {
        return fails("pread") ? -1 : real().pread(descriptor, buffer, length, offset);
    }
    ssize_t pwrite(int descriptor, const void* buffer, std::size_t length, std::uint64_t offset) noexcept override {
        return fails("pwrite") ? -1 : real().pwrite(descriptor, buffer, length, offset);
    }
    void* mmap(void* address, std::size_t length, int protection, int flags, int descriptor,
               std::uint64_t offset) noexcept override {
        if ((flags & MAP_SHARED) != 0 && fails("mmap")) return MAP_FAILED;
        return real().mmap(address, length, protection, flags, descriptor, offset);
    }
    int munmap(void* address, std::size_t length) noexcept override { return real().munmap(address, length); }
    std::uint64_t memory_lock_limit() noexcept override { return kUnlimited; }
    void sleep_milliseconds(unsigned) noexcept override {}
    bool has_kernel_function(std::string_view) noexcept override { return false; }

  private:
    static System& real() { return detail::real_system(); }
    bool fails(const std::string& call) {
        const auto found = failures.find(call);
        if (found == failures.end()) return false;
        errno = found->second;
        failures.erase(found);
        return true;
    }
};

}  // namespace

class SysfsBackend : public testing::Test {
  protected:
    SysfsBackend() {
        tree.add_function(kDevice);
        std::string config(4096, '\0');
        config[0] = '\x1a';
        config[4] = 1;  // I/O, as the firmware left it
        config[0x3d] = 1;
        test::FakeTree::put(tree.device(kDevice) / "config", config);
        test::FakeTree::put(tree.device(kDevice) / "resource0", std::string(0x10000, '\x42'));
        test::FakeTree::put(tree.device(kDevice) / "resource2", std::string(0x20, '\x24'));
        test::FakeTree::put(tree.device(kDevice) / "enable", "0");
        test::FakeTree::put(tree.device(kDevice) / "reset", "");
    }

    Device open(OpenOptions options = at_once()) {
        options.root = tree.root;
        return DeviceFactory::make(kBdf, detail::open_sysfs(kBdf, options, system), options.bus_master);
    }
    [[nodiscard]] std::string file(const char* name) const {
        std::ifstream in{tree.device(kDevice) / name, std::ios::binary};
        return {std::istreambuf_iterator<char>{in}, {}};
    }
    void set_command(unsigned value) const {
        std::fstream config{tree.device(kDevice) / "config", std::ios::in | std::ios::out | std::ios::binary};
        config.seekp(4);
        config.put(static_cast<char>(value)).put(static_cast<char>(value >> 8));
    }
    [[nodiscard]] unsigned command() const {
        return static_cast<unsigned char>(file("config")[4]) | static_cast<unsigned char>(file("config")[5]) << 8;
    }

    test::FakeTree tree;
    HalfRealSystem system;
};

TEST_F(SysfsBackend, EnablesTheDeviceAndLeavesItAsItWas) {
    Device device = open();
    EXPECT_EQ(device.backend(), "sysfs");
    EXPECT_EQ(file("enable"), "1");
    EXPECT_EQ(command(), 3u) << "memory, but no bus master: nothing here needs it";
    device.close();
    EXPECT_EQ(file("enable"), "0");
    EXPECT_EQ(command(), 1u);
}

TEST_F(SysfsBackend, StopsADeviceThatNobodyHas) {
    set_command(7);
    Device device = open();
    EXPECT_FALSE(device.was_reset());
    EXPECT_EQ(command(), 3u);
    device.close();
    EXPECT_EQ(command(), 3u) << "and what an earlier program told it is over";
}

// A driver's, or that of a part of the kernel which is none: an IOMMU is such a function, and needs to reach memory.
TEST_F(SysfsBackend, LeavesBusMasteringOfADeviceThatSomebodyHas) {
    set_command(7);
    test::FakeTree::put(tree.device(kDevice) / "enable", "1");
    open().close();
    EXPECT_EQ(command(), 7u);
    tree.set_driver(kDevice, "e1000e");
    auto options = at_once();
    options.share_with_driver = true;
    open(options).close();
    EXPECT_EQ(command(), 7u);
}

TEST_F(SysfsBackend, MapsMemoryAndReadsPorts) {
    Device device = open();
    const auto window = device.bar(0).window();
    EXPECT_TRUE(window.is_mapped());
    EXPECT_EQ(window.load<std::uint32_t>(0x10), 0x42424242u);
    window.store<std::uint32_t>(0, 0x11223344);
    EXPECT_EQ(file("resource0").substr(0, 4), "\x44\x33\x22\x11");
    const Bar& ports = device.bar(2);
    EXPECT_FALSE(ports.is_mappable());
    EXPECT_EQ(ports.read<std::uint16_t>(2), 0x2424);
    ports.write<std::uint8_t>(1, 7);
    EXPECT_EQ(file("resource2")[1], 7);
    EXPECT_THAT(error_text(Errc::unsupported, [&] { (void)ports.read<std::uint64_t>(0); }), HasSubstr("8 bytes"));
    device.close();
    EXPECT_EQ(window.load<std::uint32_t>(0), 0xffffffffu);
}

TEST_F(SysfsBackend, ResetsThroughSysfs) {
    Device device = open();
    ASSERT_TRUE(device.can_reset());
    device.reset();
    EXPECT_EQ(file("reset"), "1");
    EXPECT_EQ(command(), 3u);
}

TEST_F(SysfsBackend, LeavesADriversDeviceAloneUnlessAsked) {
    tree.set_driver(kDevice, "e1000e");
    EXPECT_THAT(error_text(Errc::not_bound, [&] { (void)open(); }), HasSubstr("the driver e1000e has the device"));
    auto options = at_once();
    options.share_with_driver = true;
    EXPECT_TRUE(open(options).is_open());
    EXPECT_EQ(file("enable"), "0") << "the driver has enabled it";
}

TEST_F(SysfsBackend, LeavesWhatADriverHasSetMeanwhile) {
    tree.set_driver(kDevice, "e1000e");
    auto options = at_once();
    options.share_with_driver = true;
    Device device = open(options);
    set_command(0x0406);  // ifup: bus master, and no INTx
    device.close();
    EXPECT_EQ(command(), 0x0406u);
}

TEST_F(SysfsBackend, UndoesOnlyWhatItDidItself) {
    Device device = open();
    device.config().set_bus_master(true);
    EXPECT_EQ(command(), 7u);
    set_command(0x0407);  // somebody turns INTx off
    device.close();
    EXPECT_EQ(command(), 0x0401u);

    device = open();
    device.config().write8(config::kCommand + 1, 0x01);
    device.config().write32(config::kCommand, 0x0102);
    EXPECT_EQ(command(), 0x0102u);
    device.close();
    EXPECT_EQ(command(), 0x0401u) << "as it was found";

    device = open();
    set_command(0x0401);  // somebody has turned memory space off, and on and off
    device.close();
    EXPECT_EQ(command(), 0x0401u);
}

TEST_F(SysfsBackend, LeavesADriverThatCameMeanwhileAlone) {
    Device device = open();
    tree.set_driver(kDevice, "e1000e");
    set_command(0x0007);
    device.close();
    EXPECT_EQ(command(), 0x0007u);
}

TEST_F(SysfsBackend, TellsOfStrictKernels) {
    const Device device = open();
    system.failures["mmap"] = EINVAL;
    EXPECT_THAT(error_text(Errc::not_mappable, [&] { (void)device.bar(0).map(); }),
                testing::AllOf(HasSubstr("IO_STRICT_DEVMEM"), HasSubstr("iomem=relaxed")));
    system.failures["mmap"] = EPERM;
    EXPECT_THAT(error_text(Errc::not_mappable, [&] { (void)device.bar(0).map(); }), HasSubstr("locked down"));
    (void)device.bar(0).map();
    system.failures["pwrite"] = EPERM;
    EXPECT_THAT(error_text(Errc::permission_denied, [&] { device.config().write16(4, 0); }), HasSubstr("locked down"));
    system.failures["pread"] = EIO;
    error_text(Errc::device_gone, [&] { (void)device.config().read16(0); });
    system.failures["pread"] = EIO;
    error_text(Errc::device_gone, [&] { (void)device.bar(2).read<std::uint8_t>(0); });
}

TEST_F(SysfsBackend, TellsWhatItMayNotOpen) {
    system.failures["open"] = EACCES;
    EXPECT_THAT(error_text(Errc::permission_denied, [&] { (void)open(); }), HasSubstr("run as root"));
    std::filesystem::remove(tree.device(kDevice) / "resource0");
    const Device device = open();
    error_text(Errc::device_gone, [&] { (void)device.bar(0).map(); });
}

TEST_F(SysfsBackend, IsOpenOnce) {
    const Device device = open();
    EXPECT_THAT(error_text(Errc::device_busy, [&] { (void)open(); }), HasSubstr("fuser"));
}

TEST_F(SysfsBackend, SaysWhichBackendsHaveWhatItHasNot) {
    const Device device = open();
    EXPECT_THAT(error_text(Errc::unsupported, [&] { (void)device.dma().allocate(4096); }),
                HasSubstr("a backend that has: vfio, iommufd"));
    EXPECT_THAT(error_text(Errc::unsupported, [&] { device.interrupts().enable(InterruptMode::intx, 1); }),
                HasSubstr("the backend sysfs has no INTx"));
}

class UioBackend : public SysfsBackend {
  protected:
    UioBackend() {
        tree.set_driver(kDevice, "uio_pci_generic");
        std::filesystem::create_directories(tree.device(kDevice) / "uio/uio0");
        test::FakeTree::put(tree.root.dev / "uio0", "");
        if (::pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0)
            throw std::system_error{errno, std::generic_category(), "pipe"};
        system.uio = pipe[0];
    }
    ~UioBackend() override {
        for (const int end : pipe) ::close(end);
    }

    Device open(OpenOptions options = at_once()) {
        options.root = tree.root;
        return DeviceFactory::make(kBdf, detail::open_uio(kBdf, options, system), options.bus_master);
    }
    /// What the driver does at an interrupt: masks the line, and tells the new count.
    void interrupt(std::uint32_t count) {
        std::fstream config{tree.device(kDevice) / "config", std::ios::in | std::ios::out | std::ios::binary};
        config.seekp(5);
        config.put(4);
        config.close();
        EXPECT_EQ(::write(pipe[1], &count, sizeof count), 4);
    }

    std::array<int, 2> pipe{};
};

TEST_F(UioBackend, DeliversOneInterruptForEachUnmask) {
    Device device = open();
    EXPECT_EQ(device.backend(), "uio");
    auto& interrupts = device.interrupts();
    EXPECT_EQ(interrupts.available(InterruptMode::intx), 1u);
    EXPECT_EQ(interrupts.available(InterruptMode::msix), 0u);
    interrupts.enable(InterruptMode::intx, 1);
    EXPECT_EQ(command() & 0x400u, 0u);
    for (std::uint32_t count = 41; count < 44; ++count) {
        interrupt(count);
        EXPECT_EQ(interrupts.wait(0, kPatience), 1u);
        EXPECT_EQ(command() & 0x400u, 0x400u);
        EXPECT_EQ(interrupts.try_take(0), 0u);
        interrupts.unmask();
        EXPECT_EQ(command() & 0x400u, 0u);
    }
    interrupts.mask();
    EXPECT_EQ(command() & 0x400u, 0x400u);
    interrupts.unmask();
    interrupts.disable();
    EXPECT_EQ(command() & 0x400u, 0x400u);
}

TEST_F(UioBackend, StopsADeviceThatWasLeftAtWork) {
    set_command(7);
    const Device device = open();
    EXPECT_FALSE(device.was_reset());
    EXPECT_EQ(command() & 7u, 3u);
}

TEST_F(UioBackend, KeepsItsInterruptOverAReset) {
    Device device = open();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::intx, 1);
    device.reset();
    EXPECT_EQ(interrupts.try_take(0), 0u) << "a reset is no interrupt";
    interrupt(1);
    EXPECT_EQ(interrupts.wait(0, kPatience), 1u);
    device.reset();
    interrupt(2);
    EXPECT_EQ(interrupts.wait(0, kPatience), 1u);
}

TEST_F(UioBackend, StartsAnewAfterItWasDisabled) {
    Device device = open();
    auto& interrupts = device.interrupts();
    for (std::uint32_t count = 1; count < 4; ++count) {
        interrupts.enable(InterruptMode::intx, 1);
        EXPECT_EQ(interrupts.try_take(0), 0u);
        interrupt(count);
        EXPECT_EQ(interrupts.wait(0, kPatience), 1u);
        interrupts.disable();
    }
}

TEST_F(UioBackend, SaysWhyItHasNoMessagesAndNoDma) {
    const Device device = open();
    EXPECT_THAT(error_text(Errc::unsupported, [&] { device.interrupts().enable(InterruptMode::msix, 1); }),
                HasSubstr("uio_pci_generic has INTx only"));
    EXPECT_THAT(error_text(Errc::unsupported, [&] { (void)device.dma().ranges(); }), HasSubstr("no IOMMU"));
    device.interrupts().enable(InterruptMode::intx, 1);
    error_text(Errc::unsupported, [&] { device.interrupts().trigger(0); });
}

TEST_F(UioBackend, NeedsItsDriver) {
    tree.set_driver(kDevice, "vfio-pci");
    EXPECT_THAT(error_text(Errc::not_bound, [&] { (void)open(); }), HasSubstr("bind uio_pci_generic"));
    tree.set_driver(kDevice, "uio_pci_generic");
    EXPECT_FALSE(why_not(kBdf, "auto", tree.root)) << "what the device is bound to decides";
}

}  // namespace uiovfio

// SPDX-License-Identifier: MIT
/// What only the real path can show: other drivers, other processes, other users, limits of the kernel's.

#include "vfio_device.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "conformance.hpp"
#include "in_child.hpp"

namespace uiovfio::conformance {

namespace regs = pcienic::regs;
using test::in_child;
using testing::AllOf;
using testing::HasSubstr;

namespace {

constexpr uid_t kNobody = 65534;

void load_module(const std::string& module) {
    ASSERT_EQ(std::system(("modprobe " + module).c_str()), 0);  // NOLINT(cert-env33-c): the guest's own modprobe
}

/// Sets a file of the kernel's for as long as it lives.
class Setting {
  public:
    Setting(std::string file, const std::string& value) : file_{std::move(file)} {
        std::ifstream{file_} >> before_;
        std::ofstream{file_} << value;
    }
    ~Setting() { std::ofstream{file_} << before_; }
    Setting(const Setting&) = delete;
    Setting& operator=(const Setting&) = delete;

  private:
    std::string file_;
    std::string before_;
};

/// The two functions that share an IOMMU group: the pcienic, and the one that comes with a driver of the kernel's.
struct Pair {
    Bdf pcienic;
    Bdf other;
};

Pair find_pair() {
    for (const PciFunction& function : enumerate())
        if (function.device == pcienic::kDeviceId && function.group_members.size() == 2)
            return {function.group_members[0], function.group_members[1]};
    throw Error{Errc::no_such_device, "the pair", "no two functions share an IOMMU group"};
}

}  // namespace

TEST(VfioOpen, FindsNothingInItsWay) {
    const auto obstacle = why_not_vfio(device_under_test());
    EXPECT_FALSE(obstacle) << obstacle->what_was_wrong;
    const auto device = Device::open(device_under_test());
    EXPECT_EQ(device.backend(), "vfio");
    EXPECT_EQ(device.bdf(), device_under_test());
}

TEST(VfioOpen, AgreesWithSysfsOnConfigurationSpace) {
    std::ifstream file{"/sys/bus/pci/devices/" + to_string(device_under_test()) + "/config", std::ios::binary};
    std::stringstream content;
    content << file.rdbuf();
    const std::string bytes = content.str();
    ASSERT_EQ(bytes.size(), 4096u);
    const auto byte = [&](std::size_t offset) { return static_cast<std::uint8_t>(bytes[offset]); };
    const auto word = [&](std::size_t offset) { return byte(offset) | byte(offset + 1) << 8; };

    const auto device = Device::open(device_under_test());
    const auto& config = device.config();
    for (const std::uint16_t offset :
         {config::kVendorId, config::kDeviceId, config::kSubsystemVendorId, config::kSubsystemId})
        EXPECT_EQ(config.read16(offset), word(offset)) << "offset " << offset;
    for (const Capability& capability : config.capabilities())
        EXPECT_EQ(byte(capability.offset), capability.id) << "offset " << capability.offset;
    for (const Capability& capability : config.extended_capabilities())
        EXPECT_EQ(word(capability.offset), capability.id) << "offset " << capability.offset;

    const auto function = describe(device_under_test());
    ASSERT_EQ(function.resources.size(), device.bars().size());
    for (std::size_t i = 0; i < function.resources.size(); ++i) {
        EXPECT_EQ(function.resources[i].index, device.bars()[i].index());
        EXPECT_EQ(function.resources[i].size, device.bars()[i].size());
        EXPECT_EQ(function.resources[i].is_64bit, device.bars()[i].is_64bit());
        EXPECT_EQ(function.resources[i].is_prefetchable, device.bars()[i].is_prefetchable());
    }
}

TEST(VfioOpen, MapsEveryBarOfThePcienic) {
    const auto device = Device::open(device_under_test());
    for (const Bar& bar : device.bars()) EXPECT_TRUE(bar.is_mappable()) << "BAR" << bar.index();
}

TEST(VfioOpen, TellsThatThereIsNoSuchDevice) {
    EXPECT_EQ(errc_of([] { (void)Device::open(Bdf::parse("0000:ff:1f.7")); }), Errc::no_such_device);
}

TEST(VfioOpen, TellsThatTheDeviceIsBusyAndOpensItOnceItIsNot) {
    constexpr std::chrono::milliseconds kDoNotWait{0};
    auto first = Device::open(device_under_test());
    EXPECT_EQ(errc_of([&] { (void)Device::open(device_under_test(), {.busy_timeout = kDoNotWait}); }),
              Errc::device_busy);
    EXPECT_THAT(in_child([&]() -> std::string {
                    return Device::open(device_under_test(), {.busy_timeout = kDoNotWait}) ? "it opened" : "";
                }),
                AllOf(HasSubstr("group_busy: "), HasSubstr("fuser -v /dev/vfio/")));
    std::thread closing{[&] { first.close(); }};
    const auto second = Device::open(device_under_test(), {.busy_timeout = kPatience});
    closing.join();
    EXPECT_TRUE(second.is_open());
}

TEST(VfioOpen, TellsThatAnotherDriverOrNoneHasTheDevice) {
    const Bdf bdf = device_under_test(1);
    ASSERT_EQ(uiovfio::unbind(bdf), "vfio-pci");
    const std::string unbound = in_child([&]() -> std::string { return Device::open(bdf) ? "it opened" : ""; });
    EXPECT_THAT(unbound, AllOf(HasSubstr("not_bound: "), HasSubstr("no driver has the device"), HasSubstr("bind")));
    load_module("uio_pci_generic");
    {
        const ScopedBinding binding{bdf, "uio_pci_generic"};
        EXPECT_EQ(describe(bdf).driver, "uio_pci_generic");
        const auto obstacle = why_not_vfio(bdf);
        ASSERT_TRUE(obstacle);
        EXPECT_EQ(obstacle->errc, Errc::not_bound);
        EXPECT_THAT(obstacle->what_was_wrong, HasSubstr("uio_pci_generic"));
    }
    EXPECT_EQ(describe(bdf).driver, "");
    EXPECT_EQ(uiovfio::bind(bdf, "vfio-pci"), "");
    EXPECT_TRUE(Device::open(bdf));
}

TEST(VfioBind, RestoresThePreviousDriverInAnotherProcess) {
    const Bdf bdf = device_under_test(1);
    load_module("uio_pci_generic");
    // What the test before has left of records is not this test's.
    (void)in_child([&] { return uiovfio::bind(bdf, "vfio-pci"); });
    std::filesystem::remove("/run/uiovfio/" + to_string(bdf));
    EXPECT_EQ(in_child([&] { return uiovfio::bind(bdf, "uio_pci_generic"); }), "vfio-pci");
    EXPECT_EQ(describe(bdf).driver, "uio_pci_generic");
    EXPECT_EQ(describe(bdf).driver_override, "uio_pci_generic");
    EXPECT_EQ(recorded_driver(bdf), "vfio-pci");
    EXPECT_EQ(in_child([&] { return uiovfio::restore(bdf); }), "vfio-pci");
    EXPECT_EQ(describe(bdf).driver, "vfio-pci");
    EXPECT_EQ(describe(bdf).driver_override, "vfio-pci");  // without which it would not have taken the device back
    EXPECT_EQ(recorded_driver(bdf), std::nullopt);
}

TEST(VfioBind, KnowsTheKernelsDrivers) {
    EXPECT_EQ(errc_of([] { uiovfio::bind(device_under_test(1), "no-such-driver"); }), Errc::no_such_driver);
    EXPECT_EQ(describe(device_under_test(1)).driver, "vfio-pci");
}

TEST(VfioBind, NeedsTheRightToDoIt) {
    const std::string said = in_child([]() -> std::string {
        if (::setuid(kNobody) != 0) return "cannot become nobody";
        return uiovfio::unbind(device_under_test(1));
    });
    EXPECT_THAT(said, HasSubstr("permission_denied: "));
    EXPECT_EQ(describe(device_under_test(1)).driver, "vfio-pci");
}

// Debian's kernels have IO_STRICT_DEVMEM: what a driver has requested is nobody else's to map.
TEST(SysfsOpen, IsRefusedTheBarsThatADriverHolds) {
    load_module("nvme");
    const Bdf busy = find_pair().other;
    ASSERT_EQ(describe(busy).driver, "nvme");
    Device device = Device::open(busy, {.backend = "sysfs", .bus_master = false, .share_with_driver = true});
    const std::uint16_t command = device.config().read16(config::kCommand);
    EXPECT_NE(command & config::kCommandBusMaster, 0) << "configuration space is everybody's";
    const auto map = [&] { (void)device.bar(0).window(); };
    EXPECT_EQ(errc_of(map), Errc::not_mappable);
    EXPECT_THAT(
        map, testing::ThrowsMessage<Error>(AllOf(HasSubstr("a driver holds it (nvme)"), HasSubstr("IO_STRICT_DEVMEM"),
                                                 HasSubstr("pcienic-ctl -s " + to_string(busy) + " unbind"))));
    device.close();
    device = Device::open(busy, {.backend = "sysfs", .bus_master = false, .share_with_driver = true});
    EXPECT_EQ(device.config().read16(config::kCommand), command) << "the driver's device was stopped";
}

TEST(VfioOpen, TellsWhichDevicesMakeTheGroupNotViable) {
    load_module("nvme");
    const Pair pair = find_pair();
    ASSERT_EQ(describe(pair.other).driver, "nvme");
    uiovfio::bind(pair.pcienic, "vfio-pci");
    const std::string said = in_child([&]() -> std::string { return Device::open(pair.pcienic) ? "it opened" : ""; });
    EXPECT_THAT(said, AllOf(HasSubstr("group_not_viable: "), HasSubstr(to_string(pair.other) + " (driver nvme)"),
                            HasSubstr("bind vfio-pci")));
    // Doing as the message says makes it viable.
    uiovfio::bind(pair.other, "vfio-pci");
    EXPECT_TRUE(Device::open(pair.pcienic));
    uiovfio::restore(pair.other);
    uiovfio::restore(pair.pcienic);
    EXPECT_EQ(describe(pair.other).driver, "nvme");
}

TEST(VfioOpen, TellsThatTheUserMayNot) {
    const std::string said = in_child([]() -> std::string {
        if (::setuid(kNobody) != 0) return "cannot become nobody";
        return Device::open(device_under_test()) ? "it opened" : "";
    });
    EXPECT_THAT(said, AllOf(HasSubstr("permission_denied: "), HasSubstr("/dev/vfio/"), HasSubstr("chown 65534")));
}

TEST(VfioDma, TellsTheMemoryLockLimitOfAnOrdinaryUser) {
    const std::string said = in_child([]() -> std::string {
        auto device = Device::open(device_under_test());
        const rlimit limit{.rlim_cur = 64 << 10, .rlim_max = 64 << 10};
        if (::setrlimit(RLIMIT_MEMLOCK, &limit) != 0) return "cannot lower the limit";
        if (::setuid(kNobody) != 0) return "cannot become nobody";
        const auto small = device.dma().allocate(32 << 10);
        const auto large = device.dma().allocate(1 << 20);
        return "both were mapped";
    });
    EXPECT_THAT(said, AllOf(HasSubstr("memory_lock_limit: "), HasSubstr("limit is 64 KiB"),
                            HasSubstr("32 KiB are mapped"), HasSubstr("needs 1 MiB"), HasSubstr("ulimit -l 1056")));
}

TEST(VfioDma, TellsThatTheKernelsMappingsAreUsedUp) {
    const Setting limit{"/sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "4"};
    auto device = Device::open(device_under_test());
    EXPECT_EQ(device.dma().mappings_left(), 4u);
    std::vector<DmaBuffer> buffers;
    for (int i = 0; i < 4; ++i) buffers.push_back(device.dma().allocate(kPage));
    EXPECT_EQ(device.dma().mappings_left(), 0u);
    EXPECT_EQ(errc_of([&] { (void)device.dma().allocate(kPage); }), Errc::mapping_limit);
    buffers.pop_back();
    (void)device.dma().allocate(kPage);
}

TEST(VfioDma, GivesHugePagesWhereTheKernelHasThem) {
    const Setting pages{"/proc/sys/vm/nr_hugepages", "8"};
    auto device = Device::open(device_under_test());
    const auto buffer = device.dma().allocate(3 << 20, {.huge_pages = HugePages::require});
    EXPECT_EQ(buffer.page_size(), 2u << 20);
    EXPECT_EQ(buffer.size(), 4u << 20);
    EXPECT_EQ(errc_of([&] { (void)device.dma().allocate(64 << 20, {.huge_pages = HugePages::require}); }),
              Errc::hugepages_unavailable);
    EXPECT_EQ(device.dma().allocate(64 << 20).page_size(), kPage);
}

// The kernel answers an access to such a device with SIGBUS.
TEST(VfioLoss, MemorySpaceThatIsOffIsAnError) {
    const auto device = open_device();
    const auto registers = device.bar(0).map();
    const auto& config = device.config();
    const std::uint16_t command = config.command();
    config.write16(config::kCommand, command & ~config::kCommandMemory);
    EXPECT_EQ(mmio_guard(registers, [&] { EXPECT_EQ(registers.load<std::uint32_t>(regs::Id::kOffset), ~0U); }),
              Errc::device_gone);
    registers.store<std::uint32_t>(regs::Scratch::kOffset, 1);
    EXPECT_TRUE(device.is_present());
    config.write16(config::kCommand, command);
    EXPECT_FALSE(mmio_guard(registers, [&] { EXPECT_EQ(regs::Id::read(registers).raw(), 0x6e696370u); }));
}

TEST(VfioLoss, ADeviceAsleepIsAnError) {
    const auto device = open_device();
    const auto registers = device.bar(0).map();
    const auto& config = device.config();
    const auto power = config.find(capability::kPowerManagement);
    ASSERT_TRUE(power);
    const auto control = static_cast<std::uint16_t>(power->offset + 4);  // PMCSR (PCI Power Management 1.2, 3.2.4)
    constexpr std::uint16_t kD3hot = 3;
    const std::uint16_t awake = config.read16(control);
    config.write16(control, awake | kD3hot);
    EXPECT_EQ(mmio_guard(registers, [&] { (void)registers.load<std::uint32_t>(regs::Id::kOffset); }),
              Errc::device_gone);
    EXPECT_TRUE(device.is_present());
    config.write16(control, awake);
    EXPECT_FALSE(mmio_guard(registers, [&] { EXPECT_EQ(regs::Id::read(registers).raw(), 0x6e696370u); }));
}

TEST(VfioDevices, WorkSideBySide) {
    auto first = Device::open(device_under_test(0));
    auto second = Device::open(device_under_test(1));
    const auto first_registers = first.bar(pcienic::kBarRegisters).window();
    const auto second_registers = second.bar(pcienic::kBarRegisters).window();
    regs::Scratch::write(first_registers, 0x11111111u);
    regs::Scratch::write(second_registers, 0x22222222u);
    EXPECT_EQ(regs::Scratch::read(first_registers).raw(), 0x11111111u);
    EXPECT_EQ(regs::Scratch::read(second_registers).raw(), 0x22222222u);

    first.interrupts().enable(InterruptMode::msix, 2);
    second.interrupts().enable(InterruptMode::msix, 2);
    regs::IrqTest::write(second_registers, 1);
    EXPECT_EQ(second.interrupts().wait(1, kPatience), 1u);
    EXPECT_EQ(first.interrupts().try_take(1), 0u);

    // Each has bus addresses of its own: the same one may stand for different memory.
    const auto first_buffer = first.dma().allocate(kPage);
    const auto second_buffer = second.dma().allocate(kPage);
    EXPECT_EQ(first_buffer.iova(), second_buffer.iova());

    first.close();
    EXPECT_EQ(regs::Scratch::read(first_registers).raw(), 0xffffffffu);
    EXPECT_EQ(regs::Scratch::read(second_registers).raw(), 0x22222222u);
    second.interrupts().trigger(0);
    EXPECT_EQ(second.interrupts().wait(0, kPatience), 1u);
}

TEST(VfioDevices, OfOneGroupShareItInOneProcess) {
    load_module("nvme");
    const Pair pair = find_pair();
    uiovfio::bind(pair.pcienic, "vfio-pci");
    uiovfio::bind(pair.other, "vfio-pci");
    {
        auto first = Device::open(pair.pcienic);
        auto second = Device::open(pair.other);
        EXPECT_EQ(second.config().device_id(), describe(pair.other).device);

        // They see the same bus addresses, so no two pieces may have the same ones.
        auto first_buffer = first.dma().allocate(kPage);
        const auto second_buffer = second.dma().allocate(kPage);
        const Iova lost = first_buffer.iova();
        EXPECT_NE(lost, second_buffer.iova());
        EXPECT_EQ(errc_of([&] { (void)second.dma().map(second_buffer.bytes(), {.iova = lost}); }),
                  Errc::mapping_overlap);

        first.interrupts().enable(InterruptMode::msix, 2);
        second.interrupts().enable(InterruptMode::msix, 1);
        const auto window = first.bar(pcienic::kBarRegisters).window();
        regs::IrqTest::write(window, 1);
        EXPECT_EQ(first.interrupts().wait(1, kPatience), 1u);

        // What one leaves behind is not there for the other.
        first.close();
        EXPECT_EQ(second.dma().map(second_buffer.bytes(), {.iova = lost}).iova(), lost);
        second.interrupts().trigger(0);
        EXPECT_EQ(second.interrupts().wait(0, kPatience), 1u);

        first = Device::open(pair.pcienic);
        second.close();
        EXPECT_EQ(first.config().vendor_id(), pcienic::kVendorId);
        (void)first.dma().allocate(kPage);
    }
    uiovfio::restore(pair.other);
    uiovfio::restore(pair.pcienic);
}

TEST(VfioDevices, KeepStickyRegistersFromProcessToProcess) {
    const auto write = [] {
        const auto device = Device::open(device_under_test());
        const auto window = device.bar(pcienic::kBarRegisters).window();
        regs::Scratch::write(window, 0xdeadbeefu);
        return std::string{};
    };
    const auto read = [] {
        const auto device = Device::open(device_under_test());
        const auto window = device.bar(pcienic::kBarRegisters).window();
        return std::to_string(regs::Scratch::read(window).raw());
    };
    (void)in_child(write);
    EXPECT_EQ(in_child(read), std::to_string(0xdeadbeefu));
}

}  // namespace uiovfio::conformance

// SPDX-License-Identifier: MIT
/// A driver for edu, the device that QEMU has for those who write their first driver.
///
///     edu [DEVICE [BACKEND]]      DEVICE as lspci writes it; by default the only edu that there is
///
/// The titles in quotation marks are those of QEMU's docs/specs/edu.rst (edu.txt in older releases), where every number
/// stands; what that leaves open is decided by hw/misc/edu.c. The chapter docs/learn/edu.md goes through this file.

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <system_error>
#include <uiovfio/uiovfio.hpp>

namespace {

using uiovfio::Access;
using uiovfio::Errc;
using uiovfio::Error;
using uiovfio::Field;
using uiovfio::Register;

// "PCI specs"
constexpr std::uint16_t kVendor = 0x1234;
constexpr std::uint16_t kDevice = 0x11e8;

// "MMIO area spec", in BAR 0: an access below 0x80 has 4 bytes, from there on 4 or 8.
struct Identification : Register<0x00, std::uint32_t, Access::ro> {  // 0xRRrr00ed
    using Constant = Field<Identification, 0, 15, Access::ro>;
    using Minor = Field<Identification, 16, 23, Access::ro>;
    using Major = Field<Identification, 24, 31, Access::ro>;
};
struct Liveness : Register<0x04, std::uint32_t, Access::rw> {};
struct Factorial : Register<0x08, std::uint32_t, Access::rw> {};
struct Status : Register<0x20, std::uint32_t, Access::rw> {
    using Computing = Field<Status, 0, 0, Access::ro>;
    using InterruptWhenDone = Field<Status, 7, 7, Access::rw>;
};
struct InterruptStatus : Register<0x24, std::uint32_t, Access::ro> {};
struct InterruptRaise : Register<0x60, std::uint32_t, Access::wo> {};
struct InterruptAcknowledge : Register<0x64, std::uint32_t, Access::wo> {};
struct DmaSource : Register<0x80, std::uint64_t, Access::rw> {};
struct DmaDestination : Register<0x88, std::uint64_t, Access::rw> {};
struct DmaCount : Register<0x90, std::uint64_t, Access::rw> {};
struct DmaCommand : Register<0x98, std::uint64_t, Access::rw> {
    using Run = Field<DmaCommand, 0, 0, Access::rw>;
    using ToMemory = Field<DmaCommand, 1, 1, Access::rw>;
    using InterruptWhenDone = Field<DmaCommand, 2, 2, Access::rw>;
};

// Bits of the interrupt status register.
constexpr std::uint32_t kFactorialDone = 0x001;  // FACT_IRQ in hw/misc/edu.c
constexpr std::uint32_t kDmaDone = 0x100;        // "DMA command register"
constexpr std::uint32_t kAnything = 0xffffffff;

// "DMA controller": 4096 bytes of the device's own. QEMU aborts when a transfer leaves them, and before 8.2.1 also when
// it reaches their last byte.
constexpr std::uint64_t kBuffer = 0x40000;
// "Command line switches": the device drops the address bits above these, unless it was given another dma_mask.
constexpr std::uint64_t kDmaMask = (std::uint64_t{1} << 28) - 1;

// Nothing here takes a second; whoever waits this long waits in vain.
constexpr std::chrono::seconds kPatience{60};

/// Zeroed pages of our own. From the kernel, not from malloc: what has once been mapped for a device is not inherited
/// by a child of the process, and malloc would hand it out again for something that is.
class Pages {
  public:
    explicit Pages(std::size_t size)
        : at_{::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)}, size_{size} {
        if (at_ == MAP_FAILED) throw std::bad_alloc{};
    }
    ~Pages() { ::munmap(at_, size_); }
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;

    [[nodiscard]] std::span<std::byte> bytes() const { return {static_cast<std::byte*>(at_), size_}; }

  private:
    void* at_;
    std::size_t size_;
};

/// The lowest bus address where `length` bytes can be mapped and the device reaches them all. Left to itself the
/// library chooses one that the IOMMU can translate; that the device has fewer address bits only its driver knows.
uiovfio::Iova reachable_address(const uiovfio::DmaSpace& dma, std::uint64_t length) {
    const std::uint64_t granule = dma.granule();
    for (const uiovfio::IovaRange& range : dma.ranges()) {
        // Not 0, which is too easily taken for "none".
        const std::uint64_t first = std::max(granule, (to_integer(range.first) + granule - 1) / granule * granule);
        const std::uint64_t last = first + length - 1;
        if (last <= to_integer(range.last) && last <= kDmaMask) return uiovfio::Iova{first};
    }
    throw Error{Errc::iova_exhausted, "edu", "no bus addresses below 256 MiB can be mapped", 0,
                "give the device more address bits: -device edu,dma_mask=0xffffffffffffffff"};
}

/// The device, idle and with its interrupt enabled, for as long as this lives.
class Edu {
  public:
    explicit Edu(uiovfio::Device& device)
        : device_{device}, registers_{device.bar(0).window(0, 0x1000)}, interrupts_{device.interrupts()} {
        if (const auto id = Identification::read(registers_); id.get<Identification::Constant>() != 0x00ed)
            throw Error{Errc::device_error, to_string(device.bdf()), fmt::format("identifies as {:#010x}", id.raw()), 0,
                        "see that it is an edu, and still there"};
        // edu cannot be reset: what the last user left behind is still there, and may still be at work.
        Status::write(registers_, 0);
        wait_until([&] { return !Status::read(registers_).get<Status::Computing>(); });
        wait_until([&] { return !DmaCommand::read(registers_).get<DmaCommand::Run>(); });
        InterruptAcknowledge::write(registers_, kAnything);
        // One mode at a time, and first the interrupt is enabled, then the device may raise it.
        const bool has_msi = device.can(uiovfio::Feature::msi);
        interrupts_.enable(has_msi ? uiovfio::InterruptMode::msi : uiovfio::InterruptMode::intx, 1);
        // Now that it is quiet: open() leaves this off for a device that it could not reset. Messages need it, too.
        if (has_msi) device.config().set_bus_master(true);
    }
    /// Before the memory goes, the device must be past reaching for it, whatever it is still at.
    ~Edu() {
        std::error_code gone;
        device_.config().set_bus_master(false, gone);
    }
    Edu(const Edu&) = delete;
    Edu& operator=(const Edu&) = delete;

    [[nodiscard]] auto version() const { return Identification::read(registers_); }

    /// The device answers with the complement of what it is given.
    [[nodiscard]] bool is_alive(std::uint32_t value) const {
        Liveness::write(registers_, value);
        return Liveness::read(registers_).raw() == ~value;
    }

    /// Has the device raise its interrupt for no other reason than this.
    void interrupt_yourself(std::uint32_t cause) {
        InterruptRaise::write(registers_, cause);
        wait_for(cause);
    }

    /// n!, computed by the device; n is at most 12, because the result has 32 bits.
    std::uint32_t factorial(std::uint32_t n) {
        Status::modify(registers_, [](auto& status) { status.template set<Status::InterruptWhenDone>(true); });
        Factorial::write(registers_, n);
        wait_for(kFactorialDone);
        return Factorial::read(registers_).raw();
    }

    /// Sends 100 bytes to the device's buffer and gets them back: whether they are the same.
    bool round_trip() {
        constexpr std::size_t kLength = 100;  // as in the example of "DMA controller"
        uiovfio::DmaSpace& dma = device_.dma();
        memory_.emplace(dma.granule());
        mapping_ = dma.map(memory_->bytes(), {.iova = reachable_address(dma, dma.granule())});
        const auto sent = memory_->bytes().first(kLength);
        const auto received = memory_->bytes().subspan(kLength, kLength);
        for (std::size_t i = 0; i < kLength; ++i) sent[i] = static_cast<std::byte>(i + 1);
        transfer(to_integer(mapping_.iova()), kBuffer, kLength, false);
        transfer(kBuffer, to_integer(mapping_.iova_at(kLength)), kLength, true);
        const bool equal = std::equal(sent.begin(), sent.end(), received.begin());
        fmt::print("DMA        {} bytes from bus address {:#x} to the device and back: {}\n", kLength,
                   to_integer(mapping_.iova()), equal ? "equal" : "different");
        return equal;
    }

  private:
    void transfer(std::uint64_t source, std::uint64_t destination, std::uint64_t length, bool to_memory) {
        DmaSource::write(registers_, source);
        DmaDestination::write(registers_, destination);
        DmaCount::write(registers_, length);
        const auto go = DmaCommand::Value{}
                            .set<DmaCommand::Run>(true)
                            .set<DmaCommand::ToMemory>(to_memory)
                            .set<DmaCommand::InterruptWhenDone>(true);
        uiovfio::write_barrier();  // the memory is filled before the device is told to read it
        DmaCommand::write(registers_, go);
        wait_for(kDmaDone);
        uiovfio::read_barrier();  // the memory is read after the device has said that it filled it
    }

    /// Waits for the interrupt with that cause, and acknowledges it: "IRQ controller". An interrupt says that something
    /// happened; what it was stands in the device.
    void wait_for(std::uint32_t cause) {
        for (std::uint32_t causes = 0; (causes & cause) == 0;) {
            interrupts_.wait(0, kPatience);
            causes = InterruptStatus::read(registers_).raw();
            InterruptAcknowledge::write(registers_, causes);
            // The kernel masks the line with each interrupt; only once the device has let go of it may it be unmasked.
            if (interrupts_.mode() == uiovfio::InterruptMode::intx) interrupts_.unmask();
        }
    }

    void wait_until(auto condition) const {
        const auto deadline = std::chrono::steady_clock::now() + kPatience;
        while (!condition())
            if (std::chrono::steady_clock::now() > deadline) throw Error{Errc::timed_out, to_string(device_.bdf())};
    }

    uiovfio::Device& device_;
    uiovfio::Window registers_;
    uiovfio::Interrupts& interrupts_;
    std::optional<Pages> memory_;
    uiovfio::DmaMapping mapping_;  // after the memory, so that it ends before
};

bool drive(uiovfio::Device& device) {
    Edu edu{device};
    const auto version = edu.version();
    fmt::print("edu {}.{}    {} through {}, interrupts by {}\n", version.get<Identification::Major>(),
               version.get<Identification::Minor>(), to_string(device.bdf()), device.backend(),
               to_string(device.interrupts().mode()));
    const bool alive = edu.is_alive(0x12345678) && edu.is_alive(0);
    fmt::print("liveness   {}\n", alive ? "inverts what it is given" : "does not answer as it should");
    edu.interrupt_yourself(0x2);
    fmt::print("interrupt  comes when it is asked for\n");
    const std::uint32_t result = edu.factorial(10);
    fmt::print("factorial  10! = {}\n", result);
    const bool has_dma = device.can(uiovfio::Feature::dma);
    if (!has_dma) fmt::print("DMA        left out: the backend {} maps no memory for a device\n", device.backend());
    return alive && result == 3628800 && (!has_dma || edu.round_trip());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 3) {
        fmt::print(stderr, "usage: edu [DEVICE [BACKEND]]\n");
        return 2;
    }
    try {
        const auto function =
            uiovfio::find_function(argc > 1 ? argv[1] : fmt::format("{:04x}:{:04x}", kVendor, kDevice));
        if (function.vendor != kVendor || function.device != kDevice)
            throw std::runtime_error(fmt::format("{} is {:04x}:{:04x}, and edu is {:04x}:{:04x}",
                                                 to_string(function.bdf), function.vendor, function.device, kVendor,
                                                 kDevice));
        auto device = uiovfio::Device::open(function.bdf, {.backend = argc > 2 ? argv[2] : "auto"});
        return drive(device) ? 0 : 1;
    } catch (const std::exception& error) {
        fmt::print(stderr, "edu: {}\n", error.what());
        return 1;
    }
}

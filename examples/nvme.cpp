// SPDX-License-Identifier: MIT
/// A driver for an NVMe controller: brings it up, asks what it is and, on request, writes a block and reads it back.
///
///     nvme DEVICE [BLOCK|- [BACKEND]]      overwrites block BLOCK of namespace 1; without one, or with -, no block
///
/// Sections: [base] NVM Express Base Specification 2.0, [pcie] NVMe over PCIe Transport Specification 1.0, [nvm] NVM
/// Command Set Specification 1.0. The chapter docs/learn/nvme.md goes through this file.

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <uiovfio/asio.hpp>
#include <uiovfio/uiovfio.hpp>

namespace {
namespace asio = boost::asio;
using namespace uiovfio;

constexpr std::uint32_t kClassNvme = 0x010802;  // mass storage, non-volatile memory, NVM Express: [pcie] 2.2
constexpr std::uint32_t kPage = 4096;           // CC.MPS = 0
constexpr std::uint16_t kEntries = 64;          // so that a submission queue is one page
constexpr std::chrono::seconds kPatience{60};   // for a command; nothing here takes a second

// Controller properties, in BAR 0: [base] 3.1.3.1 to 3.1.3.10. "0's based" numbers of the specification are less one.
struct Cap : Register<0x00, std::uint64_t, Access::ro> {
    using MaximumEntries = Field<Cap, 0, 15, Access::ro>;  // 0's based
    using Timeout = Field<Cap, 24, 31, Access::ro>;        // of CSTS.RDY, in half seconds
    using DoorbellStride = Field<Cap, 32, 35, Access::ro>;
    using MinimumPage = Field<Cap, 48, 51, Access::ro>;  // 2^(12 + this)
};
struct Cc : Register<0x14, std::uint32_t, Access::rw> {
    using Enable = Field<Cc, 0, 0, Access::rw>;
    using SubmissionEntrySize = Field<Cc, 16, 19, Access::rw>;  // both as a power of two
    using CompletionEntrySize = Field<Cc, 20, 23, Access::rw>;
};
struct Csts : Register<0x1c, std::uint32_t, Access::ro> {
    using Ready = Field<Csts, 0, 0, Access::ro>;
    using Fatal = Field<Csts, 1, 1, Access::ro>;
};
struct Aqa : Register<0x24, std::uint32_t, Access::rw> {};  // entries of the completion and the submission queue
struct Asq : Register<0x28, std::uint64_t, Access::rw> {};
struct Acq : Register<0x30, std::uint64_t, Access::rw> {};
constexpr std::size_t kDoorbells = 0x1000;  // [pcie] 3.1.2

enum Opcode : std::uint8_t {
    create_submission_queue = 0x01,  // the admin commands: [base] 5
    create_completion_queue = 0x05,
    identify = 0x06,
    write_blocks = 0x01,  // those of an I/O queue: [nvm] 3.2
    read_blocks = 0x02,
};
struct Command {  // [base] 3.3.3.1
    std::uint8_t opcode = 0, flags = 0;
    std::uint16_t id = 0;
    std::uint32_t nsid = 0;
    std::array<std::uint32_t, 4> reserved = {};  // here: no metadata
    std::uint64_t prp1 = 0, prp2 = 0;            // at most one page of data here, so prp2 stays 0: [base] 4.1.1
    std::uint32_t dword10 = 0, dword11 = 0;
    std::array<std::uint32_t, 4> dword12_to_15 = {};  // a transfer of one block: 0, for it is 0's based
};
struct Completion {  // [base] 3.3.3.2
    std::uint32_t result, reserved;
    std::uint16_t submission_head, submission_queue, id, status;  // the status with the phase tag as its bit 0
};
static_assert(sizeof(Command) == 1 << 6 && sizeof(Completion) == 1 << 4);

/// A submission queue and the completion queue that answers it, with one command at a time. Queue N has vector N.
class QueuePair {
  public:
    QueuePair(Device& device, const asio::any_io_executor& executor, std::uint16_t number)
        : name_{fmt::format("{} queue {}", to_string(device.bdf()), number)},
          registers_{device.bar(0).window()},
          stride_{std::size_t{4} << Cap::read(registers_).get<Cap::DoorbellStride>()},
          number_{number},
          memory_{device.dma().allocate(2 * kPage)},
          commands_{reinterpret_cast<Command*>(memory_.bytes().data())},
          completions_{reinterpret_cast<Completion*>(memory_.bytes().data() + kPage)},
          interrupt_{executor, device.interrupts(), number},
          deadline_{executor} {}

    [[nodiscard]] std::uint64_t submission_queue() const { return to_integer(memory_.iova()); }
    [[nodiscard]] std::uint64_t completion_queue() const { return to_integer(memory_.iova_at(kPage)); }

    /// Has the controller run a command, and waits for its end.
    asio::awaitable<void> run(std::uint8_t opcode, std::uint32_t nsid, std::uint64_t data, std::uint32_t dword10,
                              std::uint32_t dword11 = 0) {
        using namespace asio::experimental::awaitable_operators;
        const auto id = static_cast<std::uint16_t>(tail_);
        commands_[tail_] = {
            .opcode = opcode, .id = id, .nsid = nsid, .prp1 = data, .dword10 = dword10, .dword11 = dword11};
        tail_ = (tail_ + 1U) % kEntries;
        uiovfio::write_barrier();  // the command is in memory before the controller is told of it
        registers_.store<std::uint32_t>(kDoorbells + 2U * number_ * stride_, tail_);
        // A new completion has the other phase than what stands there from the last round: [base] 3.3.3.2.
        const Completion& completion = completions_[head_];
        deadline_.expires_after(kPatience);
        while ((uiovfio::load<std::uint16_t>(&completion.status) & 1U) != phase_) {
            const auto first = co_await (interrupt_.async_wait(asio::as_tuple(asio::use_awaitable)) ||
                                         deadline_.async_wait(asio::use_awaitable));
            if (first.index() == 1) throw Error{Errc::timed_out, name_, fmt::format("opcode {:#04x}", opcode)};
            if (const auto ec = std::get<0>(std::get<0>(first))) throw boost::system::system_error(ec, name_);
        }
        uiovfio::read_barrier();  // the phase first, then the rest of the entry and what else the controller wrote
        const Completion done = completion;
        head_ = (head_ + 1U) % kEntries;
        if (head_ == 0) phase_ ^= 1U;
        registers_.store<std::uint32_t>(kDoorbells + (2U * number_ + 1U) * stride_, head_);
        if (done.id != id || done.status >> 1U != 0)  // status code and its type: [base] 3.3.3.2.1
            throw Error{Errc::device_error, name_,
                        fmt::format("opcode {:#04x} ended with status code {:#04x} of type {}", opcode,
                                    done.status >> 1U & 0xffU, done.status >> 9U & 7U)};
    }

  private:
    std::string name_;
    Window registers_;
    std::size_t stride_;
    std::uint16_t number_;
    DmaBuffer memory_;
    Command* commands_;
    Completion* completions_;
    AsyncVector interrupt_;
    asio::steady_timer deadline_;
    unsigned tail_ = 0, head_ = 0, phase_ = 1;
};

/// The controller, enabled with an admin queue and one I/O queue, for as long as this lives: [base] 3.5.1.
class Controller {
  public:
    explicit Controller(Device& device)
        : device_{device}, registers_{device.bar(0).window()}, capabilities_{Cap::read(registers_)} {}
    void start(const asio::any_io_executor& executor) {
        if (capabilities_.get<Cap::MinimumPage>() != 0 || capabilities_.get<Cap::MaximumEntries>() < kEntries - 1U)
            throw Error{Errc::unsupported, to_string(device_.bdf()), "it has no 4 KiB pages or queues of 64 entries"};
        enable(false);                          // in any state, from any former owner
        device_.config().set_bus_master(true);  // not before: open() does it only for a device that it has reset
        device_.interrupts().enable(InterruptMode::msix, 2);
        admin.emplace(device_, executor, std::uint16_t{0});
        io.emplace(device_, executor, std::uint16_t{1});
        Aqa::write(registers_, (kEntries - 1U) << 16U | (kEntries - 1U));
        Asq::write(registers_, admin->submission_queue());
        Acq::write(registers_, admin->completion_queue());
        enable(true);
    }
    /// The queues' memory goes after this: the controller must be past reaching for it.
    ~Controller() {
        std::error_code gone;
        Cc::write(registers_, 0);
        device_.config().set_bus_master(false, gone);
    }

    asio::awaitable<void> create_io_queues() {
        const std::uint32_t size_and_number = (kEntries - 1U) << 16U | 1U;
        // dword11: vector 1, interrupts on, contiguous: [base] 5.4; completion queue 1, contiguous: [base] 5.5.
        co_await admin->run(create_completion_queue, 0, io->completion_queue(), size_and_number, 0x10003);
        co_await admin->run(create_submission_queue, 0, io->submission_queue(), size_and_number, 0x10001);
    }

    std::optional<QueuePair> admin, io;

  private:
    void enable(bool on) {
        auto config = Cc::Value{}.set<Cc::Enable>(on);  // the NVM command set, pages of 4 KiB, round robin: all 0
        Cc::write(registers_, config.set<Cc::SubmissionEntrySize>(6).set<Cc::CompletionEntrySize>(4));
        const auto limit = std::chrono::milliseconds{500} * (capabilities_.get<Cap::Timeout>() + 1);
        const auto deadline = std::chrono::steady_clock::now() + limit;
        for (auto status = Csts::read(registers_); status.get<Csts::Ready>() != on; status = Csts::read(registers_)) {
            if (status.get<Csts::Fatal>()) throw Error{Errc::device_error, to_string(device_.bdf()), "fatal status"};
            if (std::chrono::steady_clock::now() > deadline)
                throw Error{Errc::timed_out, to_string(device_.bdf()), "CSTS.RDY does not follow CC.EN"};
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        }
    }

    Device& device_;
    Window registers_;
    Cap::Value capabilities_;
};

std::string text(std::span<const std::byte> field) {  // padded with blanks
    const std::string all{reinterpret_cast<const char*>(field.data()), field.size()};
    return all.substr(0, all.find_last_not_of(' ') + 1);
}

asio::awaitable<void> drive(Device& device, std::optional<std::uint64_t> block) {
    auto data = device.dma().allocate(2 * kPage);  // before the controller, so that it goes after it
    const auto bytes = data.bytes();
    Controller controller{device};
    controller.start(co_await asio::this_coro::executor);
    co_await controller.admin->run(identify, 0, to_integer(data.iova()), 1);
    fmt::print("controller   {}, serial {}, firmware {}\n", text(bytes.subspan(24, 40)), text(bytes.subspan(4, 20)),
               text(bytes.subspan(64, 8)));  // [base] 5.17.2.1
    co_await controller.admin->run(identify, 1, to_integer(data.iova()), 0);
    std::uint64_t blocks = 0;  // NSZE, and the format that FLBAS chooses: [nvm] 4.1.5.1
    std::uint32_t format = 0;
    std::memcpy(&blocks, bytes.data(), sizeof(blocks));
    std::memcpy(&format, &bytes[128 + 4 * (std::to_integer<std::size_t>(bytes[26]) & 0xfU)], sizeof(format));
    const std::uint64_t size = std::uint64_t{1} << (format >> 16U & 0x3fU);  // LBADS
    fmt::print("namespace 1  {} blocks of {} bytes\n", blocks, size);
    if (!block) co_return;
    if (*block >= blocks || size > kPage || (format & 0xffffU) != 0)  // MS
        throw Error{Errc::unsupported, "namespace 1", "there is no such block, or it is larger than a page"};

    co_await controller.create_io_queues();
    const auto sent = bytes.first(size), received = bytes.subspan(kPage, size);
    std::random_device random;  // so that what an earlier run wrote is not taken for what this one did
    for (std::byte& byte : sent) byte = static_cast<std::byte>(random());
    const auto low = static_cast<std::uint32_t>(*block), high = static_cast<std::uint32_t>(*block >> 32U);
    co_await controller.io->run(write_blocks, 1, to_integer(data.iova()), low, high);
    co_await controller.io->run(read_blocks, 1, to_integer(data.iova_at(kPage)), low, high);
    if (!std::ranges::equal(sent, received)) throw Error{Errc::device_error, "namespace 1", "it read something else"};
    fmt::print("block {:<6} written, read back and equal: {:02x} ...\n", *block, fmt::join(sent.first(8), " "));
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc < 2 || argc > 4) throw std::invalid_argument("usage");
    const auto function = find_function(argv[1]);
    if (function.class_code != kClassNvme)
        throw std::runtime_error(fmt::format("{} is {:04x}:{:04x} of class {:06x}, and NVMe is 010802", argv[1],
                                             function.vendor, function.device, function.class_code));
    std::optional<std::uint64_t> block;
    if (argc > 2 && argv[2] != std::string{"-"}) block = std::stoull(argv[2]);
    auto device = Device::open(function.bdf, {.backend = argc > 3 ? argv[3] : "auto"});
    asio::io_context io;
    auto driven = asio::co_spawn(io, drive(device, block), asio::use_future);
    io.run();
    driven.get();  // throws what it threw
    return 0;
} catch (const std::logic_error&) {
    fmt::print(stderr, "usage: nvme DEVICE [BLOCK|- [BACKEND]]\n");
    return 2;
} catch (const std::exception& error) {
    fmt::print(stderr, "nvme: {}\n", error.what());
    return 1;
}

// SPDX-License-Identifier: MIT
#include "pcienic/dma.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <thread>

#include "pcienic/driver.hpp"
#include "uiovfio/error.hpp"

namespace pcienic {
namespace {

using Clock = std::chrono::steady_clock;
using State = regs::DmaStatus::StateValue;
using Code = Completion::Status::CodeValue;

static_assert(static_cast<int>(Errc::bad_opcode) == static_cast<int>(Code::kBadOpcode));
static_assert(static_cast<int>(Errc::zero_length) == static_cast<int>(Code::kZeroLength));
static_assert(static_cast<int>(Errc::device_range) == static_cast<int>(Code::kDeviceRange));
static_assert(static_cast<int>(Errc::source_fault) == static_cast<int>(Code::kSourceFault));
static_assert(static_cast<int>(Errc::destination_fault) == static_cast<int>(Code::kDestinationFault));
static_assert(static_cast<int>(Errc::sg_fault) == static_cast<int>(Code::kSgFault));
static_assert(static_cast<int>(Errc::bad_sg) == static_cast<int>(Code::kBadSg));
static_assert(static_cast<int>(Errc::bad_flags) == static_cast<int>(Code::kBadFlags));
static_assert(static_cast<int>(Errc::bad_vector) == static_cast<int>(Code::kBadVector));

// A queue that stops raises no interrupt, so a waiter looks at its state this often.
constexpr auto kInspectInterval = std::chrono::milliseconds(20);
// Polls between two looks at the clock; a poll is a load from memory, a look at the queue's state a trip to the device.
constexpr int kPollsPerLook = 256;
constexpr auto kStopTimeout = std::chrono::seconds(2);
constexpr std::uint32_t kAllOnes = ~std::uint32_t{0};

bool is_ring_size(std::size_t entries) noexcept {
    return std::has_single_bit(entries) && entries >= (std::size_t{1} << kRingMinLog2) &&
           entries <= (std::size_t{1} << kRingMaxLog2);
}

EngineOptions checked(EngineOptions options, Driver& driver) {
    if (!is_ring_size(options.entries))
        throw Error(Errc::bad_ring_size, fmt::format("DMA ring of {} entries", options.entries));
    if (options.memory != nullptr && options.memory->size() < ring_bytes(options.entries))
        throw Error(Errc::bad_ring_size, fmt::format("DMA ring of {} entries, in {} bytes of memory", options.entries,
                                                     options.memory->size()));
    if (options.vector && *options.vector >= driver.identity().vectors)
        throw Error(Errc::no_such_vector,
                    fmt::format("DMA vector {} of {}", *options.vector, driver.identity().vectors));
    return options;
}

bool overlaps(std::uint64_t first, std::uint64_t length, std::uint64_t other, std::uint64_t other_length) noexcept {
    return length != 0 && other_length != 0 && first <= other + (other_length - 1) && other <= first + (length - 1);
}

bool names(std::uint64_t address, std::uint64_t length, const ScatterList* list, std::uint64_t first,
           std::uint64_t size) noexcept {
    if (!list) return overlaps(address, length, first, size);
    if (overlaps(address, list->size() * sizeof(ScatterEntry), first, size)) return true;
    for (std::size_t i = 0; i < list->size(); ++i)
        if (const Piece piece = (*list)[i];
            overlaps(static_cast<std::uint64_t>(piece.address), piece.length, first, size))
            return true;
    return false;
}

// Nothing to lease, of what is no memory or named by its bus address, is fine.
uiovfio::DmaLease lease(const uiovfio::DmaMapping* memory, const ScatterList* list, std::error_code& ec) noexcept {
    if (list != nullptr) memory = &list->buffer().mapping();
    if (memory == nullptr || ec) return {};
    uiovfio::DmaLease leased = memory->lease(ec);
    if (ec) ec = Errc::not_mapped;
    return leased;
}

bool reads_host(Opcode opcode) noexcept { return opcode == Opcode::kHostToHost || opcode == Opcode::kHostToDevice; }
bool writes_host(Opcode opcode) noexcept {
    return opcode == Opcode::kHostToHost || opcode == Opcode::kDeviceToHost || opcode == Opcode::kFillHost;
}

// Whether the device can have said that of the command: a false number of bytes would become a length in the program.
bool is_possible(const Command& command, Code code, std::uint64_t detail) noexcept {
    if (code == Code::kOk) return detail == (command.opcode == Opcode::kNop ? 0 : command.length);
    return code <= Code::kBadVector;
}

// The latch holds the first error; where that is an older one, it does not say why the queue stopped.
Errc why_stopped(regs::ErrCode::CodeValue latched) noexcept {
    switch (latched) {
        case regs::ErrCode::CodeValue::kDescriptorFault:
            return Errc::descriptor_fault;
        case regs::ErrCode::CodeValue::kCompletionFault:
            return Errc::completion_fault;
        default:
            return Errc::queue_stopped;
    }
}

}  // namespace

DmaEngine::DmaEngine(Driver& driver, EngineOptions options)
    : driver_(driver),
      options_(checked(options, driver)),
      log2_(static_cast<unsigned>(std::countr_zero(options_.entries))),
      own_(options_.memory != nullptr ? uiovfio::DmaBuffer{}
                                      : driver_.device().dma().allocate(ring_bytes(options_.entries))),
      descriptors_(ring_at(0, options_.entries * sizeof(Descriptor))),
      completions_(ring_at(descriptors_.size, options_.entries * sizeof(Completion))),
      slots_(options_.entries) {
    start();
}

DmaEngine::Ring DmaEngine::ring_at(std::size_t offset, std::size_t size) const {
    const uiovfio::DmaMapping& memory = options_.memory != nullptr ? *options_.memory : own_.mapping();
    return {.at = memory.bytes().data() + offset, .size = size, .iova = memory.iova_at(offset)};
}

DmaEngine::~DmaEngine() {
    std::error_code failed;
    stop(failed);
    // The commands' memory may be used for something else from here on, whatever the device still has to do.
    if (failed) driver_.device().config().set_bus_master(false, failed);
}

// --- the ring ---

Descriptor* DmaEngine::descriptor(std::uint64_t sequence) const noexcept {
    return reinterpret_cast<Descriptor*>(descriptors_.at) + index(sequence);
}

Completion* DmaEngine::completion(std::uint64_t sequence) const noexcept {
    return reinterpret_cast<Completion*>(completions_.at) + index(sequence);
}

Ticket DmaEngine::post(const Command& command) {
    std::error_code ec;
    const Ticket ticket = post(command, ec);
    if (ec) throw Error(static_cast<Errc>(ec.value()), fmt::format("DMA ring of {} entries", capacity()), stop_reason_);
    return ticket;
}

Ticket DmaEngine::post(const Command& command, std::error_code& ec) noexcept {
    using Control = Descriptor::Control;
    ec.clear();
    const bool has_room = running_ && (outstanding() < capacity() || poll() > 0);
    if (!running_) {  // poll() may have found that it stopped
        ec = stop_reason_ ? Errc::queue_stopped : Errc::engine_disabled;
        return {};
    }
    if (!has_room) {
        ec = Errc::ring_full;
        return {};
    }
    const std::optional<std::uint16_t> vector = command.vector ? command.vector : options_.vector;
    if (vector && *vector > Control::Vector::kMax) {
        ec = Errc::bad_vector;
        return {};
    }
    if (static_cast<std::uint32_t>(command.opcode) > Control::Opcode::kMax) {
        ec = Errc::bad_opcode;
        return {};
    }

    uiovfio::DmaLease source = lease(command.source_memory, command.source_list, ec);
    uiovfio::DmaLease destination = lease(command.destination_memory, command.destination_list, ec);
    if (ec) return {};

    const std::uint64_t sequence = next_++;
    slots_[index(sequence)] = {.sequence = sequence,
                               .command = command,
                               .result = {},
                               .source = std::move(source),
                               .destination = std::move(destination)};
    Descriptor& d = *descriptor(sequence);
    d.source = command.source;
    d.destination = command.destination;
    d.length = command.length;
    d.tag = static_cast<std::uint32_t>(sequence);
    d.sg_count =
        Descriptor::SgCount::Value{}
            .set<Descriptor::SgCount::Source>(command.source_list ? command.source_list->size() : 0)
            .set<Descriptor::SgCount::Destination>(command.destination_list ? command.destination_list->size() : 0)
            .raw();
    const std::uint32_t control = Control::Value{}
                                      .set<Control::Opcode>(command.opcode)
                                      .set<Control::SourceSg>(command.source_list != nullptr)
                                      .set<Control::DestinationSg>(command.destination_list != nullptr)
                                      .set<Control::Interrupt>(vector.has_value())
                                      .set<Control::Vector>(vector.value_or(0))
                                      .set<Control::Phase>(phase(sequence))
                                      .raw();
    std::atomic_ref(d.control).store(control, std::memory_order_release);
    return Ticket{sequence};
}

void DmaEngine::ring() noexcept { driver_.ring_doorbell(); }

Ticket DmaEngine::submit(const Command& command) {
    const Ticket ticket = post(command);
    ring();
    return ticket;
}

Ticket DmaEngine::submit(const Command& command, std::error_code& ec) noexcept {
    const Ticket ticket = post(command, ec);
    if (!ec) ring();
    return ticket;
}

// --- completions ---

std::size_t DmaEngine::poll() noexcept {
    using Status = Completion::Status;
    std::size_t taken = 0;
    if (!running_) return 0;
    for (; consumed_ != next_; ++taken) {
        Completion& c = *completion(consumed_);
        const Status::Value status{std::atomic_ref(c.status).load(std::memory_order_acquire)};
        if (status.get<Status::Phase>() != phase(consumed_)) break;
        Slot& slot = slots_[index(consumed_)];
        const Code code = status.get<Status::Code>();
        const std::uint64_t detail = c.detail;
        if (status.get<Status::Index>() != index(consumed_) || c.tag != static_cast<std::uint32_t>(consumed_) ||
            !is_possible(slot.command, code, detail)) {
            // Not over before the device has let go: what is over may be unmapped and used for something else.
            if (halt())
                end_outstanding({Errc::bad_completion, status.get<Status::Index>()});
            else
                running_ = false;
            break;
        }
        end(slot, {code == Code::kOk ? std::error_code{} : make_error_code(static_cast<Errc>(code)), detail});
        ++consumed_;
    }
    return taken;
}

std::size_t DmaEngine::inspect() noexcept {
    if (!running_ && outstanding() == 0) return 0;
    const auto status = regs::DmaStatus::read_acquire(driver_.registers());
    // Only now: what the queue completed before it stopped is in the ring.
    const std::size_t taken = poll();
    if (status.raw() == kAllOnes) {
        // One that sleeps reads all ones, too: it goes on when it wakes, so that nothing is over.
        if (driver_.device().is_present()) return taken;
        end_outstanding({make_error_code(uiovfio::Errc::device_gone), 0});
    } else if (status.get<regs::DmaStatus::State>() == State::kDisabled) {
        enabled_ = false;
        end_outstanding({Errc::cancelled, 0});
    } else if (status.get<regs::DmaStatus::State>() == State::kStopped) {
        stop_reason_ = driver_.peek_error().value_or(LatchedError{});
        end_outstanding({why_stopped(stop_reason_->code), stop_reason_->info});
    }
    return taken;
}

void DmaEngine::end(Slot& slot, Result result) noexcept {
    slot.result = result;
    slot.source.release();
    slot.destination.release();
}

void DmaEngine::end_outstanding(Result result) noexcept {
    running_ = false;
    for (; consumed_ != next_; ++consumed_) end(slots_[index(consumed_)], result);
}

std::optional<Result> DmaEngine::result(Ticket ticket) const noexcept {
    const auto sequence = static_cast<std::uint64_t>(ticket);
    if (slots_[index(sequence)].sequence != sequence) return Result{Errc::stale_ticket, 0};
    if (sequence >= consumed_) return std::nullopt;
    return slots_[index(sequence)].result;
}

Result DmaEngine::wait(Ticket ticket, std::chrono::nanoseconds timeout) noexcept {
    const auto start = Clock::now();
    auto inspected = start;
    for (;;) {
        for (int i = 0; i < (options_.vector ? 1 : kPollsPerLook); ++i) {
            poll();
            if (const std::optional<Result> done = result(ticket)) return *done;
        }
        const auto now = Clock::now();
        if (now - inspected >= kInspectInterval || now - start >= timeout) {
            inspect();
            inspected = now;
            if (const std::optional<Result> done = result(ticket)) return *done;
            if (now - start >= timeout) return {make_error_code(uiovfio::Errc::timed_out), 0};
        }
        if (options_.vector) {
            const auto left = timeout - std::chrono::duration_cast<std::chrono::nanoseconds>(now - start);
            std::error_code ec;
            if (driver_.device().interrupts().wait(event(), std::min<std::chrono::nanoseconds>(left, kInspectInterval),
                                                   ec) > 0)
                acknowledge();
            else if (ec != uiovfio::Errc::timed_out) {
                inspect();  // a reset, for one, ends the command as well as the wait
                return result(ticket).value_or(Result{ec, 0});
            }
        } else {
            std::this_thread::yield();
        }
    }
}

Result DmaEngine::run(const Command& command, std::chrono::nanoseconds timeout) noexcept {
    std::error_code ec;
    const Ticket ticket = submit(command, ec);
    return ec ? Result{ec, stop_reason_ ? stop_reason_->info : 0} : wait(ticket, timeout);
}

bool DmaEngine::shares_line() const noexcept {
    std::error_code ec;
    const uiovfio::InterruptMode mode = driver_.device().interrupts().mode(ec);
    return !ec && mode == uiovfio::InterruptMode::intx;
}

unsigned DmaEngine::event() const noexcept { return shares_line() ? 0 : options_.vector.value_or(0); }

void DmaEngine::acknowledge() noexcept {
    if (!options_.vector || !shares_line()) return;
    driver_.clear_cause(*options_.vector);  // before the line is let through again, or it would fire at once
    std::error_code ignored;                // disabled meanwhile: there is no line to let through
    driver_.device().interrupts().unmask(ignored);
}

// --- start and stop ---

void DmaEngine::start() {
    auto& registers = driver_.registers();
    // Its ring registers are locked: the device would stay on the other's rings.
    if (const auto control = regs::DmaCtrl::read(registers);
        control.get<regs::DmaCtrl::Enable>() && control.raw() != kAllOnes)
        throw Error(Errc::engine_refused, "DMA engine, which is enabled already");
    std::memset(descriptors_.at, 0, descriptors_.size);
    std::memset(completions_.at, 0, completions_.size);
    // Descriptor 0 is the queue's first one again, so the tickets skip to the next lap with phase 1.
    const std::uint64_t two_laps = 2 * capacity();
    next_ = consumed_ = (next_ + two_laps - 1) / two_laps * two_laps;
    regs::DmaRingBase::write(registers, static_cast<std::uint64_t>(descriptors_.iova));
    regs::DmaCompletionBase::write(registers, static_cast<std::uint64_t>(completions_.iova));
    regs::DmaRingSize::write(registers, regs::DmaRingSize::Value{}.set<regs::DmaRingSize::Log2>(log2_));
    regs::DmaCtrl::write_release(registers, regs::DmaCtrl::Value{}.set<regs::DmaCtrl::Enable>(true));
    if (const State state = regs::DmaStatus::State::read(registers); state != State::kIdle && state != State::kBusy) {
        regs::DmaCtrl::write(registers, 0);
        throw Error(Errc::engine_refused, "DMA engine", driver_.peek_error());
    }
    stop_reason_.reset();
    running_ = enabled_ = true;
}

void DmaEngine::stop() {
    std::error_code ec;
    stop(ec);
    if (ec) throw Error(static_cast<Errc>(ec.value()), "DMA engine");
}

void DmaEngine::stop(std::error_code& ec) noexcept {
    ec.clear();
    if (!enabled_) return;  // it may be another engine's by now
    const bool halted = halt();
    poll();
    if (halted) {
        end_outstanding({Errc::cancelled, 0});
    } else {
        running_ = false;
        ec = Errc::engine_stuck;
    }
}

bool DmaEngine::halt() noexcept {
    auto& registers = driver_.registers();
    regs::DmaCtrl::write(registers, 0);
    const auto deadline = Clock::now() + kStopTimeout;
    for (;;) {
        const auto status = regs::DmaStatus::read_acquire(registers);
        const bool is_silent = status.raw() == kAllOnes;
        if (is_silent ? !driver_.device().is_present() : status.get<regs::DmaStatus::State>() == State::kDisabled) {
            enabled_ = false;
            return true;
        }
        if (is_silent || Clock::now() >= deadline) return false;  // asleep, or stuck
        std::this_thread::yield();
    }
}

void DmaEngine::restart() {
    stop();
    // An older error is somebody else's to take.
    if (stop_reason_ && why_stopped(stop_reason_->code) != Errc::queue_stopped) driver_.take_error();
    start();
}

// --- ownership ---

bool DmaEngine::owns(uiovfio::Iova first, std::size_t length) const noexcept {
    const auto address = static_cast<std::uint64_t>(first);
    for (std::uint64_t sequence = consumed_; sequence != next_; ++sequence) {
        const Command& c = slots_[index(sequence)].command;
        if (reads_host(c.opcode) && names(c.source, c.length, c.source_list, address, length)) return true;
        if (writes_host(c.opcode) && names(c.destination, c.length, c.destination_list, address, length)) return true;
    }
    return false;
}

void DmaEngine::check_free(uiovfio::Iova first, std::size_t length) const {
    if (owns(first, length))
        throw Error(Errc::buffer_in_use,
                    fmt::format("memory at bus address {:#x}, {} bytes", static_cast<std::uint64_t>(first), length));
}

}  // namespace pcienic

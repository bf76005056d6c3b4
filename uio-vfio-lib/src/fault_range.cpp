// SPDX-License-Identifier: MIT
#include "fault_range.hpp"

#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction() is not in <csignal>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <utility>

#include "fork_guard.hpp"

namespace uiovfio::detail {

namespace {

std::atomic<FaultSlot*> slots{nullptr};

// Written before the handler is in place, and never again.
struct sigaction previous{};

/// The system call itself: a sanitizer's mmap() is not made for signal handlers.
bool map_at(std::uintptr_t at, std::size_t length, int flags, int file, std::uint64_t offset) noexcept {
    return ::syscall(SYS_mmap, at, length, PROT_READ | PROT_WRITE, flags | MAP_FIXED, file, offset) != -1;
}

/// Puts ones over the chunk of the range that holds the address.
bool cover(FaultSlot& slot, std::uintptr_t address) noexcept {
    const std::uintptr_t begin = slot.begin.load();
    const std::uintptr_t end = slot.end.load();
    const std::uintptr_t at = begin + (address - begin) / AllOnes::kChunk * AllOnes::kChunk;
    const std::size_t length = std::min<std::size_t>(end - at, AllOnes::kChunk);
    const int ones = slot.ones.load();
    // Where the process has no mapping left for one chunk more, those of the others make room: they fault again.
    if (!map_at(at, length, MAP_PRIVATE, ones, 0) &&
        !(map_at(begin, end - begin, AllOnes::kBeyondFlags, ones, AllOnes::kBeyond) &&
          map_at(at, length, MAP_PRIVATE, ones, 0)))
        return false;
    slot.is_covered.store(true);
    slot.faults.fetch_add(1);
    return true;
}

/// As if this handler were not there.
void pass_on(int signal, siginfo_t* info, void* context) noexcept {
    const bool has_details = (previous.sa_flags & SA_SIGINFO) != 0;
    if (!has_details && previous.sa_handler == SIG_IGN && info->si_code <= 0) return;
    if (!has_details && (previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN)) {
        // A fault cannot be ignored. Once this returns, the instruction faults again, where a debugger
        // and a core dump shall see it; a signal that a process sent is sent again.
        ::signal(signal, SIG_DFL);
        if (info->si_code <= 0) ::raise(signal);
        return;
    }
    sigset_t before;
    ::pthread_sigmask(SIG_BLOCK, &previous.sa_mask, &before);
    if (has_details)
        previous.sa_sigaction(signal, info, context);
    else
        previous.sa_handler(signal);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void on_bus_error(int signal, siginfo_t* info, void* context) noexcept {
    const int error = errno;
    // BUS_OBJERR: some processors report a device that does not answer as an error of the bus.
    const bool is_access = info->si_code == BUS_ADRERR || info->si_code == BUS_OBJERR;
    const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
    FaultSlot* slot = is_access ? find_fault_slot(address) : nullptr;
    if (slot == nullptr || !cover(*slot, address)) pass_on(signal, info, context);
    errno = error;
}

void install() noexcept {
    struct sigaction action{};
    action.sa_sigaction = on_bus_error;
    // On the alternative stack, where there is one: the handler before this one may count on it.
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGBUS, nullptr, &previous);
    ::sigaction(SIGBUS, &action, nullptr);
}

ForkMutex& slots_mutex() noexcept {
    // NOLINTNEXTLINE(bugprone-unhandled-exception-at-new): without memory for it, the process ends here as well
    static auto& mutex = *new ForkMutex;  // not destroyed: ranges may outlive every order of destruction
    return mutex;
}

FaultSlot* take_slot() {
    static const bool installed = (install(), true);
    static_cast<void>(installed);
    for (FaultSlot* slot = slots.load(); slot != nullptr; slot = slot->next)
        if (slot->end.load() == 0) return slot;
    auto* slot = new FaultSlot;
    slot->next = slots.load();
    slots.store(slot);
    return slot;
}

}  // namespace

FaultSlot* find_fault_slot(std::uintptr_t address) noexcept {
    for (FaultSlot* slot = slots.load(); slot != nullptr; slot = slot->next) {
        const std::uintptr_t end = slot->end.load();
        const std::uintptr_t begin = slot->begin.load();
        // The end again: the slot may have become another range's in between.
        if (address >= begin && address < end && slot->end.load() == end) return slot;
    }
    return nullptr;
}

FaultRange::FaultRange(void* base, std::size_t length, MappedRegion* region) : ones_{AllOnes::for_regions_of(length)} {
    const std::lock_guard lock{slots_mutex()};
    slot_ = take_slot();
    slot_->begin.store(reinterpret_cast<std::uintptr_t>(base));
    slot_->ones.store(ones_->descriptor());
    slot_->is_covered.store(false);
    slot_->region.store(region);
    slot_->end.store(reinterpret_cast<std::uintptr_t>(base) + length);
}

FaultRange::FaultRange(FaultRange&& other) noexcept
    : slot_{std::exchange(other.slot_, nullptr)}, ones_{std::move(other.ones_)} {}

FaultRange& FaultRange::operator=(FaultRange&& other) noexcept {
    if (this != &other) {
        release();
        slot_ = std::exchange(other.slot_, nullptr);
        ones_ = std::move(other.ones_);
    }
    return *this;
}

FaultRange::~FaultRange() { release(); }

void FaultRange::release() noexcept {
    if (slot_ == nullptr) return;
    const std::lock_guard lock{slots_mutex()};
    slot_->end.store(0);
    slot_ = nullptr;
}

}  // namespace uiovfio::detail

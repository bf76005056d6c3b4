// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Who runs where. An interrupt that is taken by another processor than its waiter's is another measurement, and the
/// kernel spreads vectors over processors as it pleases.

#include <sched.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

namespace pcienic::bench {

/// Two processors of those that this thread may use: one that fires, one that waits. The same one twice where there is
/// but one.
struct Processors {
    int firing = 0;
    int waiting = 0;
};
Processors choose_processors();

/// Keeps the calling thread on one processor for as long as this lives.
class Pinned {
  public:
    explicit Pinned(int processor) noexcept;
    ~Pinned();
    Pinned(const Pinned&) = delete;
    Pinned& operator=(const Pinned&) = delete;

  private:
    cpu_set_t before_{};
    bool pinned_ = false;
};

/// The number of the interrupt that /proc/interrupts has under this name; nothing where it has none.
std::optional<unsigned> find_irq(std::string_view name);
/// Has a processor take an interrupt; false where the kernel does not let us (it needs root).
bool route_irq(unsigned irq, int processor);

/// Whether a thread of this process sleeps in the kernel: it waits for something. Looks each time it is asked.
class SleepWatch {
  public:
    explicit SleepWatch(pid_t thread);
    ~SleepWatch();
    SleepWatch(const SleepWatch&) = delete;
    SleepWatch& operator=(const SleepWatch&) = delete;

    [[nodiscard]] bool sleeps() const noexcept;

  private:
    int status_ = -1;
};

}  // namespace pcienic::bench

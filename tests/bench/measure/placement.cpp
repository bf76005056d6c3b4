// SPDX-License-Identifier: MIT
#include "measure/placement.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <system_error>

namespace pcienic::bench {

Processors choose_processors() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    ::sched_getaffinity(0, sizeof allowed, &allowed);
    int first = -1;
    for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
        if (!CPU_ISSET(processor, &allowed)) continue;
        if (first >= 0) return {first, processor};
        first = processor;
    }
    return {first, first};
}

Pinned::Pinned(int processor) noexcept {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    pinned_ = ::sched_getaffinity(0, sizeof before_, &before_) == 0 && ::sched_setaffinity(0, sizeof one, &one) == 0;
}

Pinned::~Pinned() {
    if (pinned_) ::sched_setaffinity(0, sizeof before_, &before_);
}

std::optional<unsigned> find_irq(std::string_view name) {
    std::ifstream interrupts{"/proc/interrupts"};
    for (std::string line; std::getline(interrupts, line);) {
        if (!std::string_view{line}.ends_with(name)) continue;
        const std::size_t begin = line.find_first_not_of(' ');
        unsigned irq = 0;
        if (std::from_chars(line.data() + begin, line.data() + line.size(), irq).ec == std::errc{}) return irq;
    }
    return std::nullopt;
}

bool route_irq(unsigned irq, int processor) {
    std::ofstream file{fmt::format("/proc/irq/{}/smp_affinity_list", irq)};
    file << processor << std::flush;
    return file.good();
}

SleepWatch::SleepWatch(pid_t thread)
    : status_{::open(fmt::format("/proc/self/task/{}/stat", thread).c_str(), O_RDONLY | O_CLOEXEC)} {
    if (status_ < 0) throw std::system_error{errno, std::generic_category(), "the waiting thread's state in /proc"};
}

SleepWatch::~SleepWatch() { ::close(status_); }

bool SleepWatch::sleeps() const noexcept {
    std::array<char, 128> text{};
    const ssize_t length = ::pread(status_, text.data(), text.size(), 0);
    if (length <= 0) return false;
    // "TID (NAME) STATE ...", and the name may hold anything.
    const std::string_view line{text.data(), static_cast<std::size_t>(length)};
    const std::size_t name_end = line.rfind(") ");
    return name_end != std::string_view::npos && name_end + 2 < line.size() && line[name_end + 2] == 'S';
}

}  // namespace pcienic::bench

// SPDX-License-Identifier: MIT
#include "expect.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <regex.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <thread>
#include <utility>

#include "results.hpp"

namespace pcienic::guest {
namespace {

/// Only a fault that never comes takes this long.
constexpr std::chrono::seconds kPatience{20};

/// POSIX's regular expressions: std::regex under gcc 12's sanitizers draws warnings that are not ours.
class Pattern {
  public:
    explicit Pattern(const std::string& text)
        : valid_(::regcomp(&compiled_, text.c_str(), REG_EXTENDED | REG_NOSUB) == 0) {
        EXPECT_TRUE(valid_) << "\"" << text << "\" is no extended regular expression";
    }
    Pattern(const Pattern&) = delete;
    Pattern& operator=(const Pattern&) = delete;
    ~Pattern() {
        if (valid_) {
            ::regfree(&compiled_);
        }
    }

    bool matches(const char* text) const { return valid_ && ::regexec(&compiled_, text, 0, nullptr, 0) == 0; }

  private:
    regex_t compiled_{};
    bool valid_;
};

/// Reads on in /dev/kmsg, one record a read, until a DMAR line matches.
bool appears(int kernel_log, const std::string& pattern) {
    const Pattern wanted(pattern);
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    char record[8192];
    while (std::chrono::steady_clock::now() < deadline) {
        const ssize_t size = ::read(kernel_log, record, sizeof record - 1);
        if (size > 0) {
            record[size] = '\0';
            if (std::strstr(record, "DMAR: [") != nullptr && wanted.matches(record)) {
                return true;
            }
        } else if (size < 0 && errno == EAGAIN) {
            pollfd more{kernel_log, POLLIN, 0};
            ::poll(&more, 1, 100);
        } else if (size == 0 || errno != EPIPE) {  // EPIPE: the log overran us; the next read is at its oldest record
            return false;
        }
    }
    return false;
}

/// The kernel logs ten messages in 5 seconds and counts three for a fault: that there is one, which one, and the look
/// for a next one. So a fourth fault within that time would not be named; it is put off instead.
void keep_within_the_rate_limit() {
    using Clock = std::chrono::steady_clock;
    constexpr std::chrono::seconds kInterval{6};
    static std::array<Clock::time_point, 3> last{};
    static std::size_t oldest = 0;
    if (last[oldest] != Clock::time_point{}) {
        std::this_thread::sleep_until(last[oldest] + kInterval);
    }
    last[oldest] = Clock::now();
    oldest = (oldest + 1) % last.size();
}

}  // namespace

ExpectDmarFault::ExpectDmarFault(std::string pattern)
    : pattern_(std::move(pattern)), kernel_log_(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {
    if (kernel_log_ >= 0) {
        ::lseek(kernel_log_, 0, SEEK_END);
    }
    Record("expect").text("kind", "dmar").text("pattern", pattern_).send();
    keep_within_the_rate_limit();
}

ExpectDmarFault::~ExpectDmarFault() {
    if (kernel_log_ < 0) {
        ADD_FAILURE() << "/dev/kmsg cannot be read: run this test as root in the guest";
        return;
    }
    if (!appears(kernel_log_, pattern_)) {
        ADD_FAILURE() << "announced a DMAR fault that matches \"" << pattern_ << "\", which the kernel did not log in "
                      << kPatience.count() << " seconds (it names at most 3 faults in 5 seconds)";
    }
    ::close(kernel_log_);
}

ExpectGuestError::ExpectGuestError(const std::string& pattern) {
    Record("expect").text("kind", "guest_error").text("pattern", pattern).send();
}

ExpectTrace::ExpectTrace(const std::string& pattern) {
    Record("expect").text("kind", "trace").text("pattern", pattern).send();
}

}  // namespace pcienic::guest

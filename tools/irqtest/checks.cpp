// SPDX-License-Identifier: MIT
#include "checks.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <limits>
#include <map>
#include <pcienic/driver.hpp>
#include <set>
#include <string_view>
#include <system_error>

namespace irqtest {
namespace {

using Clock = std::chrono::steady_clock;
using uiovfio::InterruptMode;

// Long enough for what is on its way to arrive, also where a busy host holds back the processor that it goes to.
constexpr int kQuietMs = 250;
constexpr auto kSlice = std::chrono::milliseconds(100);

class Tester {
  public:
    Tester(uiovfio::Device& device, pcienic::Driver* driver, Via via, const Plan& plan)
        : interrupts_(device.interrupts()),
          device_(device),
          driver_(driver),
          via_(via),
          plan_(plan),
          intx_(interrupts_.mode() == InterruptMode::intx) {
        report_.via = via;
        for (unsigned vector : plan.vectors) {
            report_.vectors.emplace_back().vector = vector;
            report_.vectors.back().latencies.reserve(std::min<std::uint64_t>(plan.count, 1u << 16));
        }
        for (unsigned event = 0; event < interrupts_.count(); ++event)
            fds_.push_back({.fd = interrupts_.event_fd(event), .events = POLLIN, .revents = 0});
    }

    SourceReport run() {
        take(0);
        try {
            one_at_a_time();
            if (masks()) for_each(&Tester::masked);
            if (plan_.parallel) parallel();
            if (plan_.storm) storm();
        } catch (const Stopped&) {
            report_.complete = false;
        }
        return std::move(report_);
    }

  private:
    // --- how far it is ---

    struct Stopped {};  // thrown where Plan::go_on says so, out of whatever check it is

    bool masks() const { return plan_.masked && via_ == Via::device; }

    // The firings that step() counts; those that masking and the end of a storm add are few.
    std::uint64_t total() const {
        constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
        const std::uint64_t vectors = report_.vectors.size();
        const std::uint64_t checks = 1 + std::uint64_t{plan_.parallel} + std::uint64_t{plan_.storm};
        if (plan_.count >= kMost / checks / std::max<std::uint64_t>(vectors, 1)) return kMost;
        return vectors * (checks * plan_.count + (masks() ? 1 : 0));
    }

    void ask() const {
        if (plan_.go_on && !plan_.go_on(done_, total())) throw Stopped{};
    }

    // Before each firing.
    void step() {
        ask();
        ++done_;
    }

    // --- a firing and what becomes of it ---

    unsigned event_of(unsigned vector) const { return intx_ ? 0 : vector; }

    void fire(unsigned vector) {
        if (via_ == Via::device)
            driver_->fire(vector);
        else
            interrupts_.trigger(event_of(vector));
    }

    // 0 where the time was up. In slices, so that who presses Ctrl-C does not wait for an interrupt that is lost.
    std::uint64_t wait(unsigned vector) {
        for (std::chrono::nanoseconds left = plan_.timeout;;) {
            const auto slice = std::min<std::chrono::nanoseconds>(left, kSlice);
            try {
                return interrupts_.wait(event_of(vector), slice);
            } catch (const uiovfio::Error& error) {
                if (error.errc() != uiovfio::Errc::timed_out) throw;
            }
            left -= slice;
            if (left == std::chrono::nanoseconds::zero()) return 0;
            ask();
        }
    }

    // With INTx the kernel holds the line back until it is told that the device was seen to.
    bool holds_line() const { return intx_ && via_ == Via::device; }
    void rearm(unsigned vector) {
        if (!holds_line()) return;
        driver_->clear_cause(vector);
        interrupts_.unmask();
    }
    void rearm_all() {
        if (!holds_line()) return;
        // All causes first: a line that is let through while one is left interrupts again.
        for (const VectorReport& report : report_.vectors) driver_->clear_cause(report.vector);
        interrupts_.unmask();
    }

    // Takes what has come by now, or comes within the time: events and their counts. An eventfd may be readable without
    // an interrupt, so only the count that is taken from it shows.
    std::map<unsigned, std::uint64_t> take(int timeout_ms) {
        std::map<unsigned, std::uint64_t> counts;
        while (::poll(fds_.data(), fds_.size(), timeout_ms) > 0)
            for (unsigned event = 0; event < fds_.size(); ++event)
                if (fds_[event].revents & POLLIN)
                    if (const std::uint64_t count = interrupts_.try_take(event)) counts[event] += count;
        return counts;
    }

    // What is known of an interrupt that did not come.
    std::string trace(unsigned vector) {
        if (via_ == Via::vfio) return "the kernel signalled an eventfd that this program did not see";
        if (driver_->cause(vector))
            return "the device holds the cause back: the vector is masked, or bus mastering is off";
        if (!intx_ && pending_bit(device_, vector).value_or(false)) return "it is pending, masked in the MSI-X table";
        return "the device says that the message left, so it was lost on its way";
    }

    template <typename... Args>
    void problem(unsigned vector, fmt::format_string<Args...> format, Args&&... args) {
        report_.problems.push_back(
            fmt::format("vector {}: {}", vector, fmt::format(format, std::forward<Args>(args)...)));
    }

    void for_each(void (Tester::*check)(VectorReport&)) {
        for (VectorReport& vector : report_.vectors) (this->*check)(vector);
    }

    // --- the checks ---

    // Every vector fires again only once its last interrupt was seen, so as many must come as were fired.
    void one_at_a_time() {
        std::set<unsigned> deaf;  // not waited for again: each wait would take the whole timeout
        std::set<std::pair<unsigned, unsigned>> crossed;
        for (std::uint64_t round = 0; round < plan_.count; ++round)
            for (VectorReport& report : report_.vectors) {
                step();
                if (!deaf.contains(report.vector) && !fire_once(report, crossed)) deaf.insert(report.vector);
            }
        for (VectorReport& report : report_.vectors)
            if (report.duplicates > 0) problem(report.vector, "{} interrupts too many", report.duplicates);
    }

    bool fire_once(VectorReport& report, std::set<std::pair<unsigned, unsigned>>& crossed) {
        const auto start = Clock::now();
        fire(report.vector);
        const std::uint64_t received = wait(report.vector);
        const auto latency = Clock::now() - start;
        ++report.fired;
        report.received += received;
        if (received == 0) {
            problem(report.vector, "fired {}, received {}: no interrupt within {:g} ms; {}", report.fired,
                    report.received, std::chrono::duration<double, std::milli>(plan_.timeout).count(),
                    trace(report.vector));
        } else {
            report.latencies.add(latency);
            report.duplicates += received - 1;
        }
        rearm(report.vector);
        for (const auto& [event, count] : take(0)) {
            if (event == event_of(report.vector)) {
                report.received += count;
                report.duplicates += count;
            } else {
                report.cross_talk += count;
                if (crossed.emplace(report.vector, event).second)
                    problem(report.vector, "cross-talk: fired alone, but vector {} interrupted", event);
            }
        }
        return received != 0;
    }

    // Fired twice while held back: nothing may come, the cause must stand, and letting go brings exactly one.
    void masked(VectorReport& report) {
        step();
        const unsigned vector = report.vector;
        Verdict verdict{.passed = true, .fired = 2, .received = 0};
        const auto fail = [&](std::string_view what) {
            verdict.passed = false;
            problem(vector, "masked: {}", what);
        };
        intx_ ? interrupts_.mask() : driver_->mask(vector);
        fire(vector);
        fire(vector);
        if (!take(1).empty()) fail("interrupted while it was masked");
        if (!driver_->cause(vector)) fail("fired while masked, but the device holds no cause");
        intx_ ? interrupts_.unmask() : driver_->unmask(vector);
        verdict.received = wait(vector);
        rearm(vector);
        for (const auto& [event, count] : take(1)) verdict.received += count;
        if (verdict.received != 1)
            fail(fmt::format("{} interrupts after it was unmasked, not exactly one", verdict.received));
        if (driver_->cause(vector)) fail("the cause still stands after the interrupt was taken");
        driver_->clear_cause(vector);
        report.masked = verdict;
    }

    // All vectors at once, each of them once before it is looked at.
    void parallel() {
        for (std::uint64_t round = 0; round < plan_.count; ++round) {
            for (VectorReport& report : report_.vectors) {
                step();
                if (!failed_in_parallel(report)) fire(report.vector);
            }
            if (holds_line())
                collect_shared_line();
            else
                for (VectorReport& report : report_.vectors) collect_one(report);
        }
    }

    static bool failed_in_parallel(const VectorReport& report) { return report.parallel && !report.parallel->passed; }

    // A firing counts once what became of it is known.
    static Verdict& fired_in_parallel(VectorReport& report) {
        if (!report.parallel) report.parallel.emplace();
        ++report.parallel->fired;
        return *report.parallel;
    }

    void collect_one(VectorReport& report) {
        if (failed_in_parallel(report)) return;
        // By the loopback, what was signalled on the shared eventfd adds up there and is taken by the first to look.
        const bool shared = intx_ && &report != &report_.vectors.front();
        const std::uint64_t expected = intx_ ? report_.vectors.size() : 1;
        const std::uint64_t received = shared ? expected : wait(report.vector);
        Verdict& verdict = fired_in_parallel(report);
        verdict.received += received > 0 && received == expected ? 1 : received;
        if (received == expected) return;
        verdict.passed = false;
        problem(report.vector, "in parallel: {} interrupts instead of one; {}", received,
                received == 0 ? trace(report.vector) : "something fired it again");
    }

    void collect_shared_line() {
        if (wait(0) == 0) report_.problems.push_back("in parallel: the line did not interrupt");
        for (VectorReport& report : report_.vectors) {
            if (failed_in_parallel(report)) continue;
            Verdict& verdict = fired_in_parallel(report);
            if (driver_->cause(report.vector)) {
                ++verdict.received;
            } else {
                verdict.passed = false;
                problem(report.vector, "in parallel: fired, but the device holds no cause");
            }
        }
        rearm_all();
    }

    // Fired without waiting. An interrupt controller merges what is still pending, so fewer may come than were fired,
    // but never more, and the last firing is never lost.
    void storm() {
        for (VectorReport& report : report_.vectors) report.storm.emplace();
        try {
            blow();
        } catch (const Stopped&) {
            // What is still on its way nobody has counted: only a fault that was seen is a verdict.
            for (VectorReport& report : report_.vectors)
                if (report.storm->passed) report.storm.reset();
            throw;
        }
    }

    void blow() {
        for (std::uint64_t round = 0; round < plan_.count; ++round)
            for (VectorReport& report : report_.vectors) {
                step();
                fire(report.vector);
                ++report.storm->fired;
                report.storm->received += interrupts_.try_take(event_of(report.vector));
            }
        settle();
        std::uint64_t fired = 0, received = 0;
        for (VectorReport& report : report_.vectors) {
            fired += report.storm->fired;
            received += report.storm->received;
            if (!intx_ && report.storm->received > report.storm->fired) {
                report.storm->passed = false;
                problem(report.vector, "storm: fired {}, received {}", report.storm->fired, report.storm->received);
            }
        }
        if (received > fired)
            report_.problems.push_back(fmt::format("storm: {} firings brought {} interrupts", fired, received));
        for_each(&Tester::after_the_storm);
    }

    // Until nothing comes any more: what is still on its way would be taken for the last firing. A line that is stuck
    // never falls quiet.
    void settle() {
        constexpr int kRounds = 20;
        for (int round = 0; round < kRounds; ++round) {
            ask();
            rearm_all();  // first, so that the line can say whether there is more
            const auto late = take(kQuietMs);
            if (late.empty()) return;
            for (VectorReport& report : report_.vectors)
                if (const auto found = late.find(report.vector); found != late.end())
                    report.storm->received += found->second;
        }
    }

    void after_the_storm(VectorReport& report) {
        fire(report.vector);
        ++report.storm->fired;
        const std::uint64_t received = wait(report.vector);
        rearm(report.vector);
        report.storm->received += received;
        if (received == 1) return;
        report.storm->passed = false;
        if (received == 0)
            problem(report.vector, "storm: the last firing was not seen; {}", trace(report.vector));
        else
            problem(report.vector, "storm: all was quiet, and the last firing brought {} interrupts", received);
    }

    uiovfio::Interrupts& interrupts_;
    uiovfio::Device& device_;
    pcienic::Driver* driver_;
    const Via via_;
    const Plan& plan_;
    const bool intx_;
    std::vector<pollfd> fds_;
    SourceReport report_;
    std::uint64_t done_ = 0;
};

}  // namespace

bool VectorReport::passed() const {
    const auto holds = [](const std::optional<Verdict>& verdict) { return !verdict || verdict->passed; };
    return fired == received && duplicates == 0 && cross_talk == 0 && holds(masked) && holds(parallel) && holds(storm);
}

SourceReport run(uiovfio::Device& device, pcienic::Driver* driver, Via via, const Plan& plan) {
    return Tester(device, driver, via, plan).run();
}

std::optional<bool> pending_bit(uiovfio::Device& device, unsigned vector) {
    constexpr std::uint16_t kPba = 8;  // PCI Local Bus 3.0, 6.8.2.6: offset, with the BAR in its low three bits
    std::error_code ec;
    const auto capability = device.config().find(uiovfio::capability::kMsix, ec);
    if (ec || !capability) return std::nullopt;
    const std::uint32_t pba = device.config().read32(static_cast<std::uint16_t>(capability->offset + kPba), ec);
    if (ec) return std::nullopt;
    try {
        const std::uint64_t offset = (pba & ~7u) + vector / 32 * 4;
        const std::uint32_t bits = device.bar(pba & 7u).read<std::uint32_t>(offset, ec);
        if (ec) return std::nullopt;
        return (bits >> (vector % 32) & 1) != 0;
    } catch (const std::system_error&) {
        return std::nullopt;  // a diagnosis that cannot be had must not hide what it is asked about
    }
}

}  // namespace irqtest

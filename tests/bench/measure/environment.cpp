// SPDX-License-Identifier: MIT
#include "measure/environment.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <string_view>

#include "cli/tool.hpp"
#include "measure/contest.hpp"
#include "report/text.hpp"

namespace pcienic::bench {
namespace {

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

std::string first_line(const char* path) {
    std::ifstream file{path};
    std::string line;
    std::getline(file, line);
    return line;
}

std::string processor() {
    std::ifstream file{"/proc/cpuinfo"};
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("model name"))
            if (const std::size_t colon = line.find(": "); colon != std::string::npos) return line.substr(colon + 2);
    return "unknown";
}

/// What runs this machine, as the processor tells it: hypervisors sign a leaf of CPUID.
std::string accelerator() {
#if defined(__x86_64__)
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    constexpr unsigned kHypervisorPresent = 1U << 31;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & kHypervisorPresent) == 0) return "none";
    __cpuid(0x40000000, eax, ebx, ecx, edx);
    std::array<char, 12> signature{};
    std::memcpy(signature.data(), &ebx, 4);
    std::memcpy(signature.data() + 4, &ecx, 4);
    std::memcpy(signature.data() + 8, &edx, 4);
    const std::string_view text{signature.data(), signature.size()};
    if (text.starts_with("TCG")) return "TCG";
    if (text.starts_with("KVM")) return "KVM";
    return std::string{text.substr(0, text.find('\0'))};
#else
    return "unknown";
#endif
}

std::string clock() {
    constexpr int kReadings = 1000;
    const auto start = Clock::now();
    for (int reading = 1; reading < kReadings; ++reading) (void)Clock::now();
    const double cost = nanoseconds(Clock::now() - start) / kReadings;
    return fmt::format("{}, {} a reading",
                       first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
                       format_time(cost));
}

std::string date() { return fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(std::time(nullptr))); }

}  // namespace

std::vector<std::pair<std::string, std::string>> describe_environment(const Plan& plan) {
    const std::string commit = variable("PCIENIC_BENCH_COMMIT");
    const std::string qemu = variable("PCIENIC_BENCH_QEMU");
    const std::string host = variable("PCIENIC_BENCH_HOST");
    utsname kernel{};
    ::uname(&kernel);
    std::vector<std::pair<std::string, std::string>> environment;
    const auto add = [&](const char* key, std::string value) { environment.emplace_back(key, std::move(value)); };
    add("library", commit.empty() ? std::string{cli::version()} : fmt::format("{} ({})", cli::version(), commit));
    add("compiler", PCIENIC_BENCH_COMPILER);
    add("kernel", kernel.release);
    add("accelerator", accelerator());
    if (!qemu.empty()) add("QEMU", qemu);
    add("processor", fmt::format("{} of {}", ::sysconf(_SC_NPROCESSORS_ONLN), processor()));
    if (!host.empty()) add("host", host);
    add("clock", clock());
    add("backend", plan.backend);
    add("rounds", plan.quick ? "few (--quick): the figures show that all works, not how fast" : "full");
    add("date", date());
    return environment;
}

}  // namespace pcienic::bench

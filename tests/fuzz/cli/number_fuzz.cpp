// SPDX-License-Identifier: MIT
// Numbers, times and lists of vectors as the tools read them: what is taken means the same when it is written out, and
// everything else is an error of usage.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cli/exit.hpp"
#include "cli/number.hpp"

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

template <class Parse>
void attempt(Parse&& parse) {
    try {
        parse();
    } catch (const pcienic::cli::Failure& failure) {
        check(failure.code() == pcienic::cli::Exit::usage && *failure.what() != '\0');
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    namespace cli = pcienic::cli;
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    attempt([&] {
        const std::uint64_t value = cli::parse_number(text);
        check(cli::parse_number(std::to_string(value)) == value);
    });
    attempt([&] {
        const auto time = cli::parse_duration(text);
        check(time.count() >= 0);
        check(cli::parse_duration(std::to_string(time.count()) + "ns") == time);
    });
    attempt([&] {
        constexpr unsigned kHighest = 2047;
        const auto vectors = cli::parse_ranges(text, kHighest);
        check(!vectors.empty());
        std::string listed;
        for (const unsigned vector : vectors) {
            check(vector <= kHighest);
            listed += (listed.empty() ? "" : ",") + std::to_string(vector);
        }
        check(cli::parse_ranges(listed, kHighest) == vectors);
    });
    return 0;
}

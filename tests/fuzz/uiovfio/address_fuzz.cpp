// SPDX-License-Identifier: MIT
// PCI addresses and selectors as a user types them: what is taken is within the ranges that PCI has, comes back as it
// went, and means the same to those who spell it out.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cli/exit.hpp"
#include "cli/selector.hpp"
#include "fake_tree.hpp"
#include "uiovfio/error.hpp"

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

void check_address(std::string_view text) {
    std::error_code ec;
    const auto coded = uiovfio::Bdf::parse(text, ec);
    const auto bdf = uiovfio::Bdf::try_parse(text);
    check(bdf.has_value() == !ec);
    if (!bdf) return;
    check(coded == *bdf);
    check(bdf->device <= 0x1f && bdf->function <= 7);
    check(uiovfio::Bdf::parse(to_string(*bdf)) == *bdf);
    // What names one function names that one to lspci's grammar as well.
    const auto filter = pcienic::cli::SlotFilter::parse(text);
    check(filter.names_one() && filter.matches(*bdf));
}

template <class Filter>
void check_filter(std::string_view text, const uiovfio::PciFunction& function) {
    try {
        const Filter filter = Filter::parse(text);
        if constexpr (requires { filter.names_one(); }) {
            (void)filter.matches(function.bdf);
        } else {
            (void)filter.matches(function);
        }
    } catch (const pcienic::cli::Failure& failure) {
        check(failure.code() == pcienic::cli::Exit::usage && *failure.what() != '\0');
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const uiovfio::test::FakeTree tree;
    static const bool filled = [] {
        tree.add_function("0000:01:00.0");
        tree.add_function("0000:02:00.0", "0x8086", "0x10d3");
        return true;
    }();
    check(filled);
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    check_address(text);
    uiovfio::PciFunction function;
    function.bdf = {0, 1, 0, 0};
    function.vendor = 0x1af4;
    function.device = 0x10f2;
    check_filter<pcienic::cli::SlotFilter>(text, function);
    check_filter<pcienic::cli::IdFilter>(text, function);
    std::error_code ec;
    const auto found = uiovfio::find_function(text, tree.root, ec);
    check(ec || found.vendor == 0x1af4 || found.vendor == 0x8086);
    return 0;
}

// SPDX-License-Identifier: MIT
// Prints docs/reference/errors.md from the enumerations that it documents. ctest compares; to update the page:
//
//     build/tests/docs/reference_errors > docs/reference/errors.md
#include <fmt/format.h>

#include <iostream>
#include <pcienic/error.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <uiovfio/error.hpp>
#include <vector>

#include "cli/exit.hpp"

namespace {

// Neither enumeration counts itself; every number that it lacks has the same message, with the number in it.
constexpr int kHighest = 255;

template <typename Errc, typename Print>
void each(const std::error_category& category, Print print) {
    const std::string outside = std::to_string(kHighest + 1);
    for (int number = 1; number <= kHighest; ++number) {
        std::string unknown = category.message(kHighest + 1);
        unknown.replace(unknown.find(outside), outside.size(), std::to_string(number));
        if (const std::string message = category.message(number); message != unknown)
            print(static_cast<Errc>(number), number, message);
    }
}

void exit_codes() {
    std::cout << "## Exit codes\n\nThe same for every tool.\n\n| code | meaning |\n|---|---|\n";
    std::string text(pcienic::cli::kExitCodesHelp);
    text.erase(0, text.find(':') + 1);
    std::istringstream entries(text);
    for (std::string entry; std::getline(entries, entry, ',');) {
        const auto digit = entry.find_first_of("0123456789");
        const auto space = entry.find(' ', digit);
        std::string meaning = entry.substr(space + 1);
        if (meaning.back() == '.') meaning.pop_back();
        std::cout << fmt::format("| {} | {} |\n", entry.substr(digit, space - digit), meaning);
    }
    std::cout << "\n`./pcienic run` exits with the status of the command that ran in the guest, and with 125 when the "
                 "guest itself died.\n";
}

void library_errors() {
    std::cout
        << "\n## Errors of the library\n\n"
           "`uiovfio::Errc`, in the category `uiovfio`. Every function that throws a `uiovfio::Error` for a "
           "reason outside the program\nhas a twin that sets a `std::error_code` instead. An error's own text is "
           "more specific than what stands here: it names\nthe object and the figures. The last column is the "
           "exit code of a tool that ends with it.\n\n| name | what it says | remedy | exit |\n|---|---|---|---|\n";
    each<uiovfio::Errc>(uiovfio::category(), [](uiovfio::Errc errc, int, const std::string& message) {
        std::cout << fmt::format("| `{}` | {} | {} | {} |\n", uiovfio::name(errc), message, uiovfio::remedy(errc),
                                 static_cast<int>(pcienic::cli::exit_for(errc)));
    });
}

void driver_errors() {
    std::cout << "\n## Errors of the driver\n\n"
                 "`pcienic::Errc`, in the category `pcienic`. The numbers below 64 are the device's completion codes: "
                 "see\n[registers.md](registers.md).\n\n| number | what it says | remedy |\n|---|---|---|\n";
    each<pcienic::Errc>(pcienic::category(), [](pcienic::Errc errc, int number, const std::string& message) {
        std::cout << fmt::format("| {} | {} | {} |\n", number, message, pcienic::remedy(errc));
    });
}

}  // namespace

int main() {
    std::cout << "<!-- SPDX-License-Identifier: MIT -->\n"
                 "<!-- Printed by tests/docs/reference.cpp; do not edit: run "
                 "`build/tests/docs/reference_errors > docs/reference/errors.md` -->\n"
                 "# Errors and exit codes\n\n";
    exit_codes();
    library_errors();
    driver_errors();
}

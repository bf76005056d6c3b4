// SPDX-License-Identifier: MIT
#include "script.hpp"

#include <fmt/format.h>

#include <sstream>
#include <string_view>

#include "cli/exit.hpp"

namespace pcienic::ctl {
namespace {

constexpr std::string_view kUtf8Mark = "\xef\xbb\xbf";

Words words_of(const std::string& line) {
    std::istringstream stream{line};
    Words words;
    for (std::string word; stream >> word && !word.starts_with('#');) words.push_back(word);
    return words;
}

}  // namespace

std::vector<ScriptLine> script_lines(const std::string& text, const std::string& name) {
    // Any text in UTF-16 has them, and they show in no message.
    if (text.find('\0') != std::string::npos)
        throw cli::Failure{cli::Exit::usage,
                           fmt::format("{}: has zero bytes: save it as plain text, in UTF-8 or ASCII", name)};
    std::string_view rest = text;
    if (rest.starts_with(kUtf8Mark)) rest.remove_prefix(kUtf8Mark.size());
    std::vector<ScriptLine> lines;
    for (unsigned number = 1; !rest.empty(); ++number) {
        const std::size_t end = rest.find_first_of("\r\n");
        if (Words words = words_of(std::string{rest.substr(0, end)}); !words.empty())
            lines.push_back({number, std::move(words)});
        if (end == std::string_view::npos) break;
        rest.remove_prefix(end + (rest.substr(end).starts_with("\r\n") ? 2 : 1));
    }
    return lines;
}

}  // namespace pcienic::ctl

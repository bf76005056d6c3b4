// SPDX-License-Identifier: GPL-2.0-or-later
#include "lspci_fields.hpp"

#include <fmt/format.h>

#include <sstream>

// Under the sanitizers gcc 12 believes that libstdc++'s <regex> uses something uninitialised.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <regex>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

namespace pcienic::test {
namespace {

bool is_hex(const std::string& text) {
    return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

/// "00: f4 1a ..." of a hex dump.
bool is_dump_line(const std::string& line) {
    const auto colon = line.find(':');
    return colon != std::string::npos && is_hex(line.substr(0, colon)) && line.size() > colon + 2 &&
           line[colon + 1] == ' ' && is_hex(line.substr(colon + 2, 2));
}

std::vector<std::string> phrases(const std::string& text) {
    std::vector<std::string> found;
    std::string phrase;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const bool ends = (text[at] == ',' || text[at] == ';') && (at + 1 == text.size() || text[at + 1] == ' ');
        if (!ends) phrase += text[at];
        if (ends || at + 1 == text.size()) {
            const auto first = phrase.find_first_not_of(" \t");
            const auto last = phrase.find_last_not_of(" \t");
            if (first != std::string::npos) found.push_back(phrase.substr(first, last - first + 1));
            phrase.clear();
        }
    }
    return found;
}

void add_fields(Fields& fields, const std::string& path, const std::string& text) {
    static const std::regex kFlag(R"(([^\s()]+)([+-])$)");
    static const std::regex kAssignment(R"(([^\s=()]+)=(\S+)$)");
    for (const std::string& phrase : phrases(text)) {
        // A phrase is a run of words; flags and assignments among them are fields of their own.
        std::string rest;
        std::istringstream words(phrase);
        for (std::string word; words >> word;) {
            std::smatch match;
            if (std::regex_match(word, match, kFlag) || std::regex_match(word, match, kAssignment))
                fields[fmt::format("{}/{}", path, match[1].str())] = match[2].str();
            else
                rest += (rest.empty() ? "" : " ") + word;
        }
        if (!rest.empty()) fields[fmt::format("{}/{}", path, rest)] = "present";
    }
}

/// "Capabilities: [40 v1] Name: rest" is filed under "Capabilities [40]", any other line under what stands before its
/// first colon.
std::pair<std::string, std::string> split_label(const std::string& line) {
    static const std::regex kCapability(R"(Capabilities: \[([0-9a-f]+)( v\d+)?\] (.*))");
    std::smatch match;
    if (std::regex_match(line, match, kCapability))
        return {"Capabilities [" + match[1].str() + "]", match[3].str() + match[2].str()};
    const auto colon = line.find(':');
    if (colon == std::string::npos || (colon + 1 < line.size() && line[colon + 1] != ' ' && line[colon + 1] != '\t'))
        return {"", line};
    return {line.substr(0, colon), line.substr(colon + 1)};
}

}  // namespace

std::map<std::string, Fields> parse_listing(const std::string& text) {
    std::map<std::string, Fields> functions;
    Fields* fields = nullptr;
    std::string outer, inner;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.empty()) continue;
        if (fields != nullptr && is_dump_line(line)) {
            (*fields)["dump/" + line.substr(0, line.find(':'))] = line.substr(line.find(':') + 2);
            continue;
        }
        const std::size_t indent = line.find_first_not_of('\t');
        if (indent == 0) {
            const auto space = line.find(' ');
            fields = &functions[line.substr(0, space)];
            outer.clear();
            inner.clear();
            (*fields)["heading"] = space == std::string::npos ? "" : line.substr(space + 1);
            continue;
        }
        if (fields == nullptr || indent == std::string::npos) continue;
        const std::string body = line.substr(indent);
        if (indent == 1) {
            const auto [label, rest] = split_label(body);
            outer = label;
            inner.clear();
            add_fields(*fields, outer, rest);
        } else if (indent == 2) {
            const auto [label, rest] = split_label(body);
            inner = fmt::format("{}/{}", outer, label);
            add_fields(*fields, inner, rest);
        } else {
            add_fields(*fields, inner, body);
        }
    }
    return functions;
}

std::vector<KnownDifference> known_differences(const std::string& version) {
    static const std::vector<KnownDifference> kKnown = {
        {"Capabilities/<access denied>", "of a dump, which denies nothing"},
        {"Prefetchable memory behind bridge/.*", "[32-bit] of every window that it has from the kernel"},
        {".*/(Endpoint |FatalMsg )?IntMsgNum \\d+", "renamed MSI, IntMsg and Interrupt Message Number", 11},
        {".*/DevCap/(SlotPowerLimit \\S+ )?TEE-IO", "new", 12},
        {".*/LnkCtl/LnkDisable", "Disabled, renamed", 11},
        {".*/DevCtl2/(IDOReq|IDOCompl|EmergencyPowerReductionReq|EETLPPrefixBlk)", "new", 11},
        {".*/UE(Sta|Msk|Svrt)/(UncorrIntErr|BlockedTLP|AtomicOpBlocked|TLPBlockedErr|PoisonTLPBlocked|DMWrReqBlocked|"
         "IDECheck|MisIDETLP|PCRC_CHECK|TLPXlatBlocked)",
         "new", 13},
        {".*/CE(Sta|Msk)/(CorrIntErr|HeaderOF)", "new", 13},
        {".*/PRISta/PASID", "new", 11},
        {".*/PTM(Cap/(Requester|Responder|Root)|Control/(Enabled|RootSelected))", "3.9 has a colon before the sign",
         11},
        {"Interrupts/.*", "another line for interrupts, whose pins it names one letter too far", 15},
        {".*/LnkCtl/FltModeDis", "new", 14},
        {".*/LnkSta2/FltMode", "new", 14},
    };
    constexpr std::string_view kMajor = "3.";
    const unsigned minor = version.starts_with(kMajor) ? static_cast<unsigned>(std::stoul(version.substr(2))) : 0;
    std::vector<KnownDifference> known;
    for (const KnownDifference& difference : kKnown)
        if (minor >= difference.since && minor <= difference.until) known.push_back(difference);
    return known;
}

std::vector<std::string> missing_fields(const Fields& reference, const Fields& ours,
                                        const std::vector<KnownDifference>& known) {
    std::vector<std::string> missing;
    for (const auto& [name, value] : reference) {
        const auto found = ours.find(name);
        if (found != ours.end() && found->second == value) continue;
        bool expected = false;
        for (const KnownDifference& difference : known)
            expected = expected || std::regex_match(name, std::regex(difference.pattern));
        if (!expected)
            missing.push_back(fmt::format("{}: lspci says \"{}\", pcienic-ls {}", name, value,
                                          found == ours.end() ? "nothing" : fmt::format("\"{}\"", found->second)));
    }
    return missing;
}

}  // namespace pcienic::test

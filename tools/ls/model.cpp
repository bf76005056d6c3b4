// SPDX-License-Identifier: GPL-2.0-or-later
#include "model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace pcienic::ls {

Row& Row::add(std::string key, Value value, std::string before, std::string after, int min_verbosity) {
    fields_.push_back({std::move(key), std::move(value), std::move(before), std::move(after), min_verbosity});
    return *this;
}

Row& Row::flags(std::uint32_t word, std::initializer_list<FlagBits> bits) {
    for (const auto& [key, mask] : bits) flag(key, (word & mask) != 0);
    return *this;
}

void Capability::remark(const std::string& text) {
    line(text);
    std::string sentence = text;
    std::replace(sentence.begin(), sentence.end(), '\t', ' ');
    remarks.push_back(std::move(sentence));
}

std::string size_text(std::uint64_t bytes) {
    constexpr std::array<const char*, 5> kUnits = {"", "K", "M", "G", "T"};
    std::size_t unit = 0;
    while (unit + 1 < kUnits.size() && bytes != 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        ++unit;
    }
    return fmt::format("{}{}", bytes, kUnits[unit]);
}

namespace {

struct TextOf {
    std::string operator()(bool flag) const { return flag ? "+" : "-"; }
    std::string operator()(const Number& number) const {
        return number.digits == 0 ? fmt::format("{}", number.value)
                                  : fmt::format("{:0{}x}", number.value, number.digits);
    }
    std::string operator()(const Bytes& bytes) const { return size_text(bytes.value); }
    std::string operator()(const Mark&) const { return {}; }
    std::string operator()(const Absent& absent) const { return absent.text; }
    std::string operator()(const std::string& text) const { return text; }
};

}  // namespace

std::string FreshNames::operator()(const std::string& name) {
    unsigned& count = used_[name];
    std::string fresh = name;
    while (++count > 1) {
        fresh = fmt::format("{} ({})", name, count);
        if (used_.try_emplace(fresh, 1).second) break;
    }
    return fresh;
}

std::string to_text(const Value& value) { return std::visit(TextOf{}, value); }

}  // namespace pcienic::ls

// SPDX-License-Identifier: MIT
#include "rows.hpp"

#include <fmt/format.h>

namespace pcienic::ctl {
namespace {

unsigned field_digits_bits(const Place& place) {
    return place.field != nullptr ? (place.field->width() + 3) / 4 * 4 : place.width;
}

cli::Json field_json(const FieldInfo& field, std::uint64_t raw) {
    const std::uint64_t value = (raw >> field.lsb) & field.max();
    cli::Json json{{"value", value}};
    for (const EnumInfo& known : field.enums) {
        if (known.value == value) json["name"] = known.name;
    }
    return json;
}

}  // namespace

cli::Json place_row(const Place& place) {
    cli::Json row{{"name", place.name}, {"bar", place.bar}};
    row["offset"] = place.offset;
    row["offset_hex"] = fmt::format("{:#05x}", place.offset);
    row["width"] = place.width;
    return row;
}

void put_value(cli::Json& row, const std::string& key, const Place& place, std::uint64_t raw) {
    cli::put_number(row, key, (raw & place.mask()) >> place.shift(), field_digits_bits(place));
}

cli::Json fields_of(const Place& place, std::uint64_t raw) {
    cli::Json fields = cli::Json::object();
    if (place.field != nullptr) {
        fields[std::string{place.field->name}] = field_json(*place.field, raw);
    } else if (place.element) {
        for (const FieldInfo& field : place.element->reg->fields)
            fields[std::string{field.name}] = field_json(field, raw);
    }
    return fields;
}

std::string decoded(const cli::Json& fields) {
    std::string text;
    for (const auto& [name, field] : fields.items()) {
        const std::string value = field.contains("name") ? field["name"].get<std::string>() : field["value"].dump();
        text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, value);
    }
    return text;
}

cli::Json value_row(const Place& place, std::uint64_t raw) {
    cli::Json row = place_row(place);
    put_value(row, "value", place, raw);
    row["fields"] = fields_of(place, raw);
    row["decoded"] = decoded(row["fields"]);
    return row;
}

std::vector<cli::Column> value_columns() {
    return {{.key = "name", .title = "REGISTER"},
            {.key = "offset_hex", .title = "OFFSET"},
            {.key = "value_hex", .title = "VALUE", .right = true},
            {.key = "decoded", .title = "FIELDS"}};
}

std::string access_name(uiovfio::Access access) {
    using enum uiovfio::Access;
    switch (access) {
        case ro:
            return "ro";
        case rw:
            return "rw";
        case wo:
            return "wo";
        case rw1c:
            return "rw1c";
        case rw1s:
            return "rw1s";
        case rc:
            return "rc";
    }
    return "?";
}

}  // namespace pcienic::ctl

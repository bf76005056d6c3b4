// SPDX-License-Identifier: GPL-2.0-or-later
// Vital Product Data (PCI Local Bus 3.0, appendix I): resources with a tag, two of which hold items with a keyword.
// What is in it comes from the maker of the board, or from an attacker: it goes into the output escaped.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "decode.hpp"

namespace pcienic::ls {
namespace {

constexpr unsigned kSize = 0x8000;  ///< 15 bits of address
constexpr unsigned kEnd = 0x0f;
constexpr unsigned kIdentifier = 0x82;
constexpr unsigned kReadOnly = 0x90;
constexpr unsigned kReadWrite = 0x91;

enum class Format { text, binary, reserved, free };

struct Item {
    char first;
    char second;  ///< 0 for any
    Format format;
    const char* name;
};

/// The keywords of PCI Local Bus 3.0, I.3.1, and those of IBM's boards. The first that fits is it.
constexpr Item kItems[] = {
    {'C', 'P', Format::binary, "Extended capability"},
    {'E', 'C', Format::text, "Engineering changes"},
    {'M', 'N', Format::text, "Manufacture ID"},
    {'P', 'N', Format::text, "Part number"},
    {'R', 'V', Format::reserved, "Reserved"},
    {'R', 'W', Format::free, "Read-write area"},
    {'S', 'N', Format::text, "Serial number"},
    {'Y', 'A', Format::text, "Asset tag"},
    {'V', 0, Format::text, "Vendor specific"},
    {'Y', 0, Format::text, "System specific"},
    {'C', 'C', Format::text, "CCIN"},
    {'F', 'C', Format::text, "Feature code"},
    {'F', 'N', Format::text, "FRU"},
    {'N', 'A', Format::text, "Network address"},
    {'R', 'M', Format::text, "Firmware version"},
    {'Z', 0, Format::text, "Product specific"},
};
constexpr Item kUnknown = {0, 0, Format::binary, "Unknown"};

const Item& item_of(const std::uint8_t* keyword) {
    const auto* found = std::find_if(std::begin(kItems), std::end(kItems), [&](const Item& item) {
        return item.first == keyword[0] && (item.second == 0 || item.second == keyword[1]);
    });
    return found == std::end(kItems) ? kUnknown : *found;
}

using Octets = std::vector<std::uint8_t>;

/// Printable ASCII as it is, all else as \xNN. Boards end their strings with a zero at times.
std::string escaped(Octets bytes) {
    if (!bytes.empty() && bytes.back() == 0) bytes.pop_back();
    std::string text;
    for (const std::uint8_t byte : bytes) {
        if (byte == '\\')
            text += "\\\\";
        else if (byte < 0x20 || byte >= 0x7f)
            text += fmt::format("\\x{:02x}", byte);
        else
            text += static_cast<char>(byte);
    }
    return text;
}

/// Reads forward, and sums up what it read: a reserved item checks that sum.
class Reader {
  public:
    explicit Reader(const DecodeContext& context) : context_(context) {}

    std::optional<Octets> read(unsigned at, unsigned count) {
        Octets bytes(count);
        if (count == 0) return bytes;
        if (!context_.read_vpd || !context_.read_vpd(at, bytes.data(), count)) return std::nullopt;
        for (const std::uint8_t byte : bytes) sum_ = static_cast<std::uint8_t>(sum_ + byte);
        return bytes;
    }
    bool sum_is_zero() const { return sum_ == 0; }

  private:
    const DecodeContext& context_;
    std::uint8_t sum_ = 0;
};

void decode_items(Reader& reader, unsigned begin, unsigned length, const char* heading, Capability& out) {
    Row fields;
    FreshNames fresh;  // in JSON a name for each item, also for the second of a keyword
    out.line(fmt::format("{}:", heading));
    for (unsigned at = begin; at + 3 <= begin + length;) {
        const auto head = reader.read(at, 3);
        if (!head) break;
        at += 3;
        const unsigned count = (*head)[2];
        if (count > begin + length - at) break;
        const Item& item = item_of(head->data());
        // What follows the checksum in a reserved item is not summed.
        const auto contents = reader.read(at, item.format == Format::reserved ? 1 : count);
        if (!contents) break;
        at += count;

        std::string value;
        const std::string name = fresh(escaped({(*head)[0], (*head)[1]}));
        switch (item.format) {
            case Format::text:
                value = escaped(*contents);
                fields.silent(name, value);
                break;
            case Format::binary:
                value = fmt::format("{:02x}", fmt::join(*contents, " "));
                fields.silent(name, value);
                break;
            case Format::reserved:
                value = fmt::format("checksum {}, {} byte(s) reserved", reader.sum_is_zero() ? "good" : "bad",
                                    static_cast<int>(count) - 1);
                fields.silent(fresh("ChecksumGood"), reader.sum_is_zero());
                break;
            case Format::free:
                value = fmt::format("{} byte(s) free", count);
                fields.silent(fresh("Free"), Number{count});
                break;
        }
        out.line(fmt::format("\t[{}] {}: {}", escaped({(*head)[0], (*head)[1]}), item.name, value));
    }
    out.fields(heading).rows.push_back(std::move(fields));
}

/// One resource: false if nothing behind it can be decoded.
bool decode_resource(Reader& reader, unsigned tag, unsigned begin, unsigned length, Capability& out) {
    switch (tag) {
        case kEnd:
            out.line("End");
            return false;
        case kIdentifier: {
            constexpr unsigned kPiece = 256;  // if the rest cannot be read, this much of it still is
            std::string text;
            for (unsigned done = 0; done < length; done += kPiece) {
                const auto piece = reader.read(begin + done, std::min(length - done, kPiece));
                if (!piece) break;
                text += escaped(*piece);
            }
            out.add("Product Name").row().text("Name", text, " ");
            return true;
        }
        case kReadOnly:
            decode_items(reader, begin, length, "Read-only fields", out);
            return true;
        case kReadWrite:
            decode_items(reader, begin, length, "Read/write fields", out);
            return true;
        default:
            out.remark(fmt::format("Unknown {} resource type {:02x}, will not decode more.",
                                   (tag & 0x80) != 0 ? "large" : "small", tag & 0x7f));
            return false;
    }
}

}  // namespace

void decode_vital_product_data(const CapabilityInput& in, Capability& out) {
    out.name = "Vital Product Data";
    if (!in.context.wants_vpd) return;
    Reader reader(in.context);
    unsigned at = 0;
    while (at < kSize) {
        const auto first = reader.read(at, 1);
        if (!first) break;
        unsigned tag = first->front();
        unsigned length = tag & 7;
        if ((tag & 0x80) != 0) {
            if (at + 3 > kSize) break;
            const auto words = reader.read(at + 1, 2);
            if (!words) break;
            length = (*words)[0] | static_cast<unsigned>((*words)[1]) << 8;
            at += 3;
        } else {
            tag >>= 3;
            at += 1;
        }
        if (length > kSize - at) break;
        if (!decode_resource(reader, tag, at, length, out)) return;
        at += length;
    }
    out.remark(at == 0 ? "Not readable" : "No end tag found");
}

}  // namespace pcienic::ls

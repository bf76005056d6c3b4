// SPDX-License-Identifier: MIT
#include "results.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "qmp.hpp"

namespace pcienic::guest {
namespace {

/// Quoted for JSON. Bytes beyond ASCII pass as they are: what tests say is UTF-8.
std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (byte < 0x20 || byte == 0x7f) {
            char escape[7];
            std::snprintf(escape, sizeof escape, "\\u%04x", byte);
            out += escape;
        } else {
            out += c;
        }
    }
    return out + '"';
}

void write_whole(const char* path, std::string_view text) {
    const int file = ::open(path, O_WRONLY | O_APPEND | O_NOCTTY | O_CLOEXEC);
    if (file < 0) {
        return;
    }
    while (!text.empty()) {
        const ssize_t written = ::write(file, text.data(), text.size());
        if (written <= 0) {
            break;
        }
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    ::close(file);
}

}  // namespace

Record::Record(std::string_view type) : json_("{\"type\":" + quoted(type)) {}

Record& Record::text(std::string_view key, std::string_view value) {
    json_ += ',' + quoted(key) + ':' + quoted(value);
    return *this;
}

Record& Record::number(std::string_view key, long long value) {
    json_ += ',' + quoted(key) + ':' + std::to_string(value);
    return *this;
}

Record& Record::texts(std::string_view key, const std::vector<std::string>& values) {
    json_ += ',' + quoted(key) + ":[";
    for (std::size_t i = 0; i < values.size(); ++i) {
        json_ += (i != 0 ? "," : "") + quoted(values[i]);
    }
    json_ += ']';
    return *this;
}

Record& Record::object(std::string_view key,
                       std::initializer_list<std::pair<std::string_view, std::string_view>> members) {
    json_ += ',' + quoted(key) + ":{";
    bool first = true;
    for (const auto& [name, value] : members) {
        json_ += (std::exchange(first, false) ? "" : ",") + quoted(name) + ':' + quoted(value);
    }
    json_ += '}';
    return *this;
}

void Record::send() {
    if (const char* path = std::getenv("PCIENIC_RESULTS")) {
        write_whole(path, json_ + "}\n");
    }
}

void qmp(std::string_view command, std::initializer_list<std::pair<std::string_view, std::string_view>> arguments) {
    Record("qmp").text("execute", command).object("arguments", arguments).send();
}

void mark_kernel_log(std::string_view line) {
    if (std::getenv("PCIENIC_RESULTS") != nullptr) {
        write_whole("/dev/kmsg", std::string("<6>") + std::string(line) + "\n");
    }
}

}  // namespace pcienic::guest

// SPDX-License-Identifier: MIT
#include "cli/input.hpp"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <istream>
#include <system_error>

#include "cli/exit.hpp"

namespace pcienic::cli {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void cannot_be_read(const std::string& name) {
    throw Failure{Exit::usage, fmt::format("{}: cannot be read: check the path and the rights", name)};
}

}  // namespace

std::string read_all(std::istream& stream, const std::string& name, std::size_t most) {
    std::string text;
    std::array<char, 65536> piece;
    while (stream) {
        stream.read(piece.data(), piece.size());
        text.append(piece.data(), static_cast<std::size_t>(stream.gcount()));
        if (text.size() > most)
            throw Failure{Exit::usage, fmt::format("{}: has more than the {} bytes that there can be: is it the right "
                                                   "file?",
                                                   name, most)};
    }
    if (stream.bad()) cannot_be_read(name);
    return text;
}

std::string read_file(const std::string& path, std::size_t most) {
    std::error_code none;
    if (fs::is_directory(path, none)) throw Failure{Exit::usage, fmt::format("{}: is a folder: name a file", path)};
    std::ifstream file{path, std::ios::binary};
    if (!file) cannot_be_read(path);
    return read_all(file, path, most);
}

void refuse_same_file(const std::string& read, const std::string& written) {
    std::error_code none;
    if (read.empty() || written.empty() || !fs::equivalent(read, written, none)) return;
    throw Failure{Exit::usage,
                  fmt::format("{}: is read, and would be overwritten: give another file to write to", read)};
}

}  // namespace pcienic::cli

// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A file that takes the place of another.

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include "file_descriptor.hpp"

namespace uiovfio::detail {

/// A file of its own beside the one whose place it is to take, in one step: nothing is written to what is there, which
/// may have other readers, names or rights, and nobody meets half a file. Move-only; gone again where it was not put in
/// its place.
class NewFile {
  public:
    NewFile() noexcept = default;
    NewFile(NewFile&& other) noexcept;
    NewFile& operator=(NewFile&& other) noexcept;
    ~NewFile();

    /// Makes it, readable by its owner only; empty, and errno, on failure.
    [[nodiscard]] static NewFile beside(const std::filesystem::path& place);

    explicit operator bool() const noexcept { return static_cast<bool>(file_); }
    [[nodiscard]] int get() const noexcept { return file_.get(); }

    /// The errno of the failure, 0 for none.
    int write(std::span<const std::byte> bytes) noexcept;
    /// Puts it there. A link that is there is replaced, not followed. The errno of the failure, 0 for none.
    int put_in_place(const std::filesystem::path& place) noexcept;
    /// The open file; its name stays with this object.
    [[nodiscard]] FileDescriptor release() noexcept { return std::move(file_); }

  private:
    FileDescriptor file_;
    std::string name_;  // empty once it has its place
};

}  // namespace uiovfio::detail

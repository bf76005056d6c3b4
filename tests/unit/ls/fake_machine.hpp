// SPDX-License-Identifier: GPL-2.0-or-later
/// A machine's /sys with functions that never were, for pcienic-ls and for lspci.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace pcienic::test {

/// A line of the file `resource`.
struct FakeResource {
    std::uint64_t first = 0, last = 0, flags = 0;
};

struct FakeFunction {
    std::string address;                  ///< "0000:01:00.0"
    std::vector<std::uint8_t> config;     ///< as far as the kernel shows it
    std::vector<FakeResource> resources;  ///< filled up with empty ones: 7, or 17 with those of a bridge
    std::vector<std::pair<std::string, std::string>> files = {};  ///< further values: name and contents
    std::string parent = {};  ///< the bridge that it is behind; empty: on a root bus
    std::string driver = {};
    unsigned irq = 0;
};

/// Lies in a directory of its own, which its destructor removes.
class FakeMachine {
  public:
    FakeMachine();
    ~FakeMachine();
    FakeMachine(const FakeMachine&) = delete;
    FakeMachine& operator=(const FakeMachine&) = delete;

    /// A parent comes before what is behind it.
    FakeMachine& add(const FakeFunction& function);

    /// A slot's name and the address that it says: "0000:01:00".
    FakeMachine& add_slot(const std::string& name, const std::string& address);

    const std::filesystem::path& sys() const { return sys_; }

  private:
    std::filesystem::path place_of(const std::string& address) const;

    std::filesystem::path sys_;
};

}  // namespace pcienic::test

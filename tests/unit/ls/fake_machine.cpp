// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_machine.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

namespace pcienic::test {
namespace {

namespace fs = std::filesystem;

void write(const fs::path& file, const std::string& contents) {
    std::ofstream out(file, std::ios::binary);
    out << contents;
    EXPECT_TRUE(out.good()) << file;
}

unsigned word_at(const std::vector<std::uint8_t>& bytes, std::size_t at) {
    return at + 1 < bytes.size() ? bytes[at] | static_cast<unsigned>(bytes[at + 1]) << 8 : 0xffff;
}

}  // namespace

FakeMachine::FakeMachine() {
    std::string name = (fs::temp_directory_path() / "pcienic-ls-sys-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    sys_ = name;
    for (const char* directory : {"bus/pci/devices", "bus/pci/slots", "bus/pci/drivers", "devices"})
        fs::create_directories(sys_ / directory);
}

FakeMachine::~FakeMachine() { fs::remove_all(sys_); }

fs::path FakeMachine::place_of(const std::string& address) const {
    return fs::canonical(sys_ / "bus/pci/devices" / address);
}

FakeMachine& FakeMachine::add(const FakeFunction& function) {
    const std::string bus = function.address.substr(0, function.address.size() - 5);
    const fs::path place =
        (function.parent.empty() ? sys_ / "devices" / ("pci" + bus) : place_of(function.parent)) / function.address;
    fs::create_directories(place);
    fs::create_directory_symlink(place, sys_ / "bus/pci/devices" / function.address);
    write(place / "config", std::string(function.config.begin(), function.config.end()));
    write(place / "vendor", fmt::format("0x{:04x}\n", word_at(function.config, 0)));
    write(place / "device", fmt::format("0x{:04x}\n", word_at(function.config, 2)));
    write(place / "class", fmt::format("0x{:04x}{:02x}\n", word_at(function.config, 10),
                                       function.config.size() > 9 ? function.config[9] : 0xff));
    write(place / "irq", fmt::format("{}\n", function.irq));
    std::string resources;
    const std::size_t lines = function.resources.size() > 7 ? 17 : 7;
    for (std::size_t index = 0; index < lines; ++index) {
        const FakeResource one = index < function.resources.size() ? function.resources[index] : FakeResource{};
        resources += fmt::format("0x{:016x} 0x{:016x} 0x{:016x}\n", one.first, one.last, one.flags);
    }
    write(place / "resource", resources);
    for (const auto& [name, contents] : function.files) write(place / name, contents);
    if (!function.driver.empty()) {
        fs::create_directories(sys_ / "bus/pci/drivers" / function.driver);
        // Relative, as the kernel's are: libpci takes it for that.
        fs::create_directory_symlink(fs::relative(sys_ / "bus/pci/drivers" / function.driver, place), place / "driver");
    }
    return *this;
}

FakeMachine& FakeMachine::add_slot(const std::string& name, const std::string& address) {
    const fs::path slot = sys_ / "bus/pci/slots" / name;
    fs::create_directories(slot);
    write(slot / "address", address + "\n");
    return *this;
}

}  // namespace pcienic::test

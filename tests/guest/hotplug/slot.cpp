// SPDX-License-Identifier: MIT
#include "slot.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <uiovfio/bind.hpp>
#include <uiovfio/config_space.hpp>

#include "qmp.hpp"

namespace pcienic::test {

namespace fs = std::filesystem;

namespace {

const fs::path kDevices{"/sys/bus/pci/devices"};

uiovfio::Bdf device_number(std::size_t index) {
    const char* all = std::getenv("PCIENIC_BDFS");
    std::istringstream words{all != nullptr ? all : "PCIENIC_BDFS is not set: run this in the project's guest"};
    std::string word;
    for (std::size_t i = 0; i <= index; ++i) words >> word;
    return uiovfio::Bdf::parse(word);
}

template <class Condition>
bool await(Condition&& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

void require(bool came, const std::string& what) {
    if (!came) throw std::runtime_error{what + " did not come about"};
}

/// A function's configuration space, as sysfs has it.
class ConfigFile {
  public:
    explicit ConfigFile(const uiovfio::Bdf& bdf)
        : file_{::open((kDevices / to_string(bdf) / "config").c_str(), O_RDWR)} {
        if (file_ < 0) throw std::system_error{errno, std::generic_category(), to_string(bdf) + " config"};
    }
    ~ConfigFile() { ::close(file_); }
    ConfigFile(const ConfigFile&) = delete;
    ConfigFile& operator=(const ConfigFile&) = delete;

    [[nodiscard]] std::uint16_t read16(unsigned offset) const {
        std::array<std::uint8_t, 2> bytes{};
        if (::pread(file_, bytes.data(), bytes.size(), offset) != ssize_t{bytes.size()})
            throw std::system_error{errno, std::generic_category(), "reading configuration space"};
        return static_cast<std::uint16_t>(bytes[0] | bytes[1] << 8);
    }
    void write16(unsigned offset, std::uint16_t value) const {
        const std::array bytes{static_cast<std::uint8_t>(value), static_cast<std::uint8_t>(value >> 8)};
        if (::pwrite(file_, bytes.data(), bytes.size(), offset) != ssize_t{bytes.size()})
            throw std::system_error{errno, std::generic_category(), "writing configuration space"};
    }
    /// Where the capability lies. The port is QEMU's, whose list ends.
    [[nodiscard]] unsigned find(std::uint16_t id) const {
        for (unsigned at = read16(uiovfio::config::kCapabilityPointer) & 0xfcU; at != 0; at = read16(at) >> 8)
            if ((read16(at) & 0xffU) == id) return at;
        throw std::runtime_error{"the port has no such capability"};
    }

  private:
    int file_;
};

/// The offset of the port's Slot Control register.
unsigned slot_control(const ConfigFile& port) { return port.find(uiovfio::capability::kPciExpress) + 0x18; }

/// In Slot Control: the controller off, and the indicator off.
constexpr unsigned kPowerOff = 0x0700;

}  // namespace

Slot::Slot(std::size_t index)
    : bdf_{device_number(index)},
      // The device's folder in sysfs lies in its port's.
      port_bdf_{uiovfio::Bdf::parse(fs::canonical(folder()).parent_path().filename().string())},
      port_{fmt::format("port{}", index)},
      device_{fmt::format("dev{}", index)} {}

fs::path Slot::folder() const { return kDevices / to_string(bdf_); }

bool Slot::is_occupied() const { return fs::exists(folder()); }

void Slot::request_removal() { guest::qmp("device_del", {{"id", device_}}); }

bool Slot::await_empty() const {
    return await([&] { return !is_occupied(); });
}

// QEMU takes a device out when its slot loses power: Power Controller Control and Power Indicator Control off in one
// write (hw/pci/pcie.c, pcie_cap_slot_write_config). The kernel's driver shall find an empty slot with power, which is
// how one looks that somebody emptied: so it gets its interrupt last. Bits: PCI Express Base 5.0, 7.5.3.10.
void Slot::pull_out() {
    constexpr unsigned kHotPlugInterruptEnable = 0x0020;
    const ConfigFile port{port_bdf_};
    const unsigned at = slot_control(port);
    const std::uint16_t before = port.read16(at);
    const unsigned silent = before & ~kHotPlugInterruptEnable;
    port.write16(at, static_cast<std::uint16_t>(silent | kPowerOff));
    port.write16(at, static_cast<std::uint16_t>(silent));
    port.write16(at, before);
}

bool Slot::await_power_off() const {
    const ConfigFile port{port_bdf_};
    const unsigned at = slot_control(port);
    return await([&] { return (port.read16(at) & kPowerOff) == kPowerOff; });
}

void Slot::plug_in(const std::string& driver) {
    // QEMU takes its time to forget a name whose device was pulled out.
    device_ = fmt::format("{}-plug{}", port_, ++plugged_);
    guest::qmp("device_add", {{"driver", driver}, {"id", device_}, {"bus", port_}});
    // The kernel shows a device some milliseconds before it lets a driver have it.
    std::error_code ec;
    require(await([&] {
                uiovfio::bind(bdf_, "vfio-pci", {}, ec);
                return !ec;
            }),
            "the new device's binding to vfio-pci (" + ec.message() + ")");
}

}  // namespace pcienic::test

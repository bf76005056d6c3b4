// SPDX-License-Identifier: MIT
#pragma once

/// What the tests of the learning path share: its devices by their step, the programs that a reader would type, and two
/// ways to the registers: sysfs, as the first chapters do it, and VFIO.

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "uiovfio/bdf.hpp"
#include "uiovfio/bind.hpp"
#include "uiovfio/device.hpp"

namespace steps {

/// In the order of the suite's DEVICES; the last is the one of its QEMU_ARGS.
enum class Step { basic, mmio, msi, msix, dma, caps, caps_on_root_bus };

/// Registers that steps 02 to 05 have in common, and vectors that 03 to 06 have.
inline constexpr std::size_t kDoorbell = 0x0;
inline constexpr unsigned kRegisters = 16;
inline constexpr unsigned kVectors = 4;

/// Only ends a test that hangs; no test waits for it.
inline constexpr std::chrono::seconds kWatchdog{60};

uiovfio::Bdf bdf(Step step);

/// The standard output of a shell command; a test that runs one which fails has failed.
std::string output_of(const std::string& command);

/// `lspci OPTIONS -nn -s BDF`, the real one.
std::string lspci(Step step, const std::string& options);

/// BAR0 as sysfs offers it to root, with the device's memory decoding on. The device must be without a driver.
class SysfsRegisters {
  public:
    explicit SysfsRegisters(Step step);
    SysfsRegisters(const SysfsRegisters&) = delete;
    SysfsRegisters& operator=(const SysfsRegisters&) = delete;
    ~SysfsRegisters();

    template <typename T = std::uint32_t>
    [[nodiscard]] T load(std::size_t offset) const {
        return *reinterpret_cast<volatile T*>(base_ + offset);
    }
    template <typename T = std::uint32_t>
    void store(std::size_t offset, T value) const {
        *reinterpret_cast<volatile T*>(base_ + offset) = value;
    }

  private:
    std::byte* base_;
};

/// The device bound to vfio-pci and open, for as long as this lives.
class VfioDevice {
  public:
    explicit VfioDevice(Step step);

    uiovfio::Device* operator->() noexcept { return &device_; }
    [[nodiscard]] const uiovfio::MappedWindow& registers() const noexcept { return registers_; }

    /// The vector fires once, and no other does.
    void expect_only(unsigned vector);
    /// No vector has fired.
    void expect_silence();

  private:
    uiovfio::ScopedBinding binding_;
    uiovfio::Device device_;
    uiovfio::MappedWindow registers_;
};

/// The DMA command of steps 05 and 06, wherever it stands.
class DmaCommand {
  public:
    enum Status : std::uint32_t { idle, busy, done, bad_command, source_refused, destination_refused };
    static constexpr std::uint32_t kNoVector = 0xffffffff;

    DmaCommand(const uiovfio::MappedWindow& registers, std::size_t base) : registers_(registers), base_(base) {}

    void go(uiovfio::Iova source, uiovfio::Iova destination, std::uint32_t length, std::uint32_t vector = kNoVector);
    [[nodiscard]] Status status() const;
    /// The status once it is not busy any more.
    [[nodiscard]] Status finish() const;

  private:
    const uiovfio::MappedWindow& registers_;
    std::size_t base_;
};

}  // namespace steps

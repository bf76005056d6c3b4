// SPDX-License-Identifier: MIT
//
// pcienic-demo: a PCIe device driven from userspace, step by step. It is also the example of how the library and the
// driver are used: everything here is their public interface.
#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <iostream>
#include <pcienic/driver.hpp>
#include <random>
#include <string>
#include <uiovfio/uiovfio.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kCopySize = 64u << 20;
constexpr std::uint32_t kMemoryTestSize = 1u << 20;
constexpr auto kPatience = 60s;  // a watchdog: under emulation, a busy machine makes everything slow

constexpr std::string_view kUsage =
    "usage: pcienic-demo [BDF]\n"
    "\n"
    "Shows a pcienic at work: listed, a register written and read, every vector fired, memory copied by DMA.\n"
    "BDF is its address, by default what PCIENIC_BDF in the environment names, or the first one of the machine.\n"
    "\n"
    "Exit codes: 0 all held, 1 the device could not be used, 2 usage, 5 something did not hold.\n"
    "\n"
    "OPTIONS:\n"
    "  -h,--help                       Show this help\n";

bool all_held = true;

std::string paint(std::string_view text, int colour) {
    return isatty(STDOUT_FILENO) == 1 ? fmt::format("\033[{}m{}\033[0m", colour, text) : std::string(text);
}

void title(std::string_view text) { fmt::print("\n{}\n", paint(text, 1)); }

bool check(bool held, const std::string& text) {
    fmt::print("  {} {}\n", held ? paint("✔", 32) : paint("✘", 31), text);
    std::fflush(stdout);
    all_held = all_held && held;
    return held;
}

double microseconds(Clock::duration time) { return std::chrono::duration<double, std::micro>(time).count(); }

// CRC-32 by zlib.
unsigned long checksum(std::span<const std::byte> bytes) {
    return crc32_z(crc32_z(0, nullptr, 0), reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
}

void randomise(std::span<std::byte> bytes) {
    std::mt19937_64 random(std::random_device{}());
    for (std::size_t i = 0; i + 8 <= bytes.size(); i += 8) {
        const std::uint64_t value = random();
        std::memcpy(&bytes[i], &value, 8);
    }
}

uiovfio::Bdf find_device(int argc, char** argv) {
    if (argc > 1) return uiovfio::Bdf::parse(argv[1]);
    if (const char* bdf = std::getenv("PCIENIC_BDF")) return uiovfio::Bdf::parse(bdf);
    for (const uiovfio::PciFunction& function : uiovfio::enumerate())
        if (function.vendor == pcienic::kVendorId && function.device == pcienic::kDeviceId) return function.bdf;
    throw uiovfio::Error(uiovfio::Errc::no_such_device, "pcienic", "there is none in this machine", 0,
                         "run this in the project's guest: ./pcienic demo");
}

void list(const uiovfio::PciFunction& function) {
    title("1  The device, as the kernel lists it");
    std::fflush(stdout);
    // What a user would type; a machine without the tool still gets the essentials.
    if (std::system(fmt::format("pcienic-ls -nn -k -s {} 2>/dev/null", to_string(function.bdf)).c_str()) != 0)
        fmt::print("  {} [{:04x}:{:04x}] class {:06x}, driver {}\n", to_string(function.bdf), function.vendor,
                   function.device, function.class_code, function.driver.empty() ? "none" : function.driver);
}

std::string iommu() {
    std::string names;
    for (const auto& entry : std::filesystem::directory_iterator("/sys/class/iommu"))
        names += (names.empty() ? "" : ", ") + entry.path().filename().string();
    return names.empty() ? "none" : names;
}

void introduce(const uiovfio::PciFunction& function, uiovfio::Device& device, pcienic::Driver& driver) {
    title("2  Opened from userspace");
    fmt::print("  backend {}, IOMMU group {}, IOMMU {}\n", device.backend(),
               function.iommu_group ? std::to_string(*function.iommu_group) : "none", iommu());
    for (const uiovfio::IovaRange& range : device.dma().ranges())
        fmt::print("  bus addresses {:#x} to {:#x} can be mapped\n", to_integer(range.first), to_integer(range.last));
    const pcienic::Identity id = driver.identify();
    check(id.dma && id.fill && id.scatter_gather && id.memory,
          fmt::format("pcienic version {}, {} vectors, {} MiB of device memory, DMA with fill and scatter-gather",
                      to_string(id.version), id.vectors, id.memory_size >> 20));
}

void touch_registers(pcienic::Driver& driver) {
    title("3  A register written and read back");
    driver.set_scratch(0xdeadbeef);
    const std::uint32_t value = driver.scratch();
    check(value == 0xdeadbeef, fmt::format("SCRATCH   := 0xdeadbeef           -> {:#010x}", value));
    driver.set_scratch64(0x0123456789abcdef);
    const std::uint64_t value64 = driver.scratch64();
    check(value64 == 0x0123456789abcdef, fmt::format("SCRATCH64 := 0x0123456789abcdef   -> {:#018x}", value64));
    constexpr int kReads = 1000;
    const auto start = Clock::now();
    for (int i = 0; i < kReads; ++i) driver.scratch();
    fmt::print("  a register read takes {:.2f} us\n", microseconds(Clock::now() - start) / kReads);
}

void fire_vectors(uiovfio::Device& device, pcienic::Driver& driver) {
    const unsigned count = driver.enable_interrupts(uiovfio::InterruptMode::msix);
    title(fmt::format("4  All {} MSI-X vectors, each fired once: microseconds until userspace saw it", count));
    unsigned exact = 0;
    std::vector<double> latencies;
    for (unsigned vector = 0; vector < count; ++vector) {
        std::error_code ec;
        const auto start = Clock::now();
        driver.fire(vector);
        const std::uint64_t received = device.interrupts().wait(vector, kPatience, ec);
        latencies.push_back(microseconds(Clock::now() - start));
        fmt::print("  {:>4}: {:>7}{}", vector, ec ? "lost" : fmt::format("{:.1f}", latencies.back()),
                   vector % 8 == 7 || vector + 1 == count ? "\n" : "");
        exact += received == 1;
    }
    std::uint64_t strays = 0;
    for (unsigned vector = 0; vector < count; ++vector) strays += device.interrupts().try_take(vector);
    std::ranges::sort(latencies);
    check(exact == count && strays == 0,
          fmt::format("{} of {} arrived exactly once, none went astray; median {:.1f} us, slowest {:.1f} us", exact,
                      count, latencies[latencies.size() / 2], latencies.back()));
}

// Made after the memory, so that it goes first: a queue that stops lets go of what a command did not finish with.
// Sleeps on vector 0 while it waits.
pcienic::DmaEngine make_dma(pcienic::Driver& driver) { return driver.make_dma({.vector = std::uint16_t{0}}); }

void copy_host_memory(uiovfio::Device& device, pcienic::Driver& driver) {
    title("5  The device copies 64 MiB of host memory, through the IOMMU");
    uiovfio::DmaBuffer source = device.dma().allocate(kCopySize);
    uiovfio::DmaBuffer destination = device.dma().allocate(kCopySize);
    pcienic::DmaEngine dma = make_dma(driver);
    randomise(source.bytes());
    fmt::print("  from bus address {:#x} to {:#x}, in pages of {} KiB\n", to_integer(source.iova()),
               to_integer(destination.iova()), source.page_size() >> 10);
    const auto start = Clock::now();
    const pcienic::Result result = dma.run(pcienic::copy(source.iova(), destination.iova(), kCopySize), kPatience);
    const double seconds = microseconds(Clock::now() - start) / 1e6;
    check(!result.code, fmt::format("{} in {:.0f} ms: {:.0f} MiB/s", to_string(result), seconds * 1e3,
                                    static_cast<double>(kCopySize >> 20) / seconds));
    const unsigned long before = checksum(source.bytes()), after = checksum(destination.bytes());
    check(before == after, fmt::format("CRC-32 of the source {:08x}, of the copy {:08x}", before, after));
}

void visit_device_memory(uiovfio::Device& device, pcienic::Driver& driver) {
    title("6  To device memory and back");
    uiovfio::DmaBuffer out = device.dma().allocate(kMemoryTestSize), back = device.dma().allocate(kMemoryTestSize);
    pcienic::DmaEngine dma = make_dma(driver);
    randomise(out.bytes());
    const bool there = !dma.run(pcienic::copy(out.iova(), pcienic::DeviceOffset{0}, kMemoryTestSize), kPatience).code;
    std::uint32_t expected = 0;
    std::memcpy(&expected, out.bytes().data(), sizeof(expected));
    const auto seen = driver.memory().read<std::uint32_t>(0);
    check(there && seen == expected,
          fmt::format("the processor reads {:#010x} in BAR4, which the device put there", seen));
    const bool here = !dma.run(pcienic::copy(pcienic::DeviceOffset{0}, back.iova(), kMemoryTestSize), kPatience).code;
    check(here && checksum(out.bytes()) == checksum(back.bytes()), "1 MiB came back as it went");
}

void tell(const uiovfio::PciFunction& function) {
    uiovfio::Device device = uiovfio::Device::open(function.bdf);
    pcienic::Driver driver(device);
    introduce(function, device, driver);
    touch_registers(driver);
    fire_vectors(device, driver);
    copy_host_memory(device, driver);
    visit_device_memory(device, driver);
    const auto error = driver.take_error();
    check(!error, error ? to_string(*error) : "the device has no complaint: its error latch is empty");
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view first = argc > 1 ? argv[1] : "";
    if (first == "-h" || first == "--help") {
        std::cout << kUsage;
        return 0;
    }
    if (argc > 2 || (argc > 1 && (first.empty() || first.starts_with('-')))) {
        std::cerr << fmt::format("pcienic-demo: '{}': is no address, or one too many: see pcienic-demo --help\n",
                                 argv[argc - 1]);
        return 2;
    }
    try {
        const uiovfio::PciFunction function = uiovfio::describe(find_device(argc, argv));
        list(function);
        tell(function);
    } catch (const std::exception& error) {
        std::fflush(stdout);
        std::cerr << "pcienic-demo: " << error.what() << '\n';
        const auto* known = dynamic_cast<const uiovfio::Error*>(&error);
        return known != nullptr && known->errc() == uiovfio::Errc::invalid_bdf ? 2 : 1;
    }
    title(all_held ? "Everything held." : "Something did not hold: see above.");
    return all_held ? 0 : 5;
}

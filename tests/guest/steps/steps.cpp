// SPDX-License-Identifier: MIT
#include "steps.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace steps {
namespace {

constexpr std::size_t kBarSize = 4096;

std::string sysfs(const uiovfio::Bdf& bdf, const char* name) {
    return "/sys/bus/pci/devices/" + uiovfio::to_string(bdf) + "/" + name;
}

}  // namespace

uiovfio::Bdf bdf(Step step) {
    if (step == Step::caps_on_root_bus) {
        return uiovfio::Bdf::parse("0000:00:1d.0");
    }
    const char* all = std::getenv("PCIENIC_BDFS");
    std::istringstream words(all != nullptr ? all : "");
    std::string word;
    for (int i = 0; i <= static_cast<int>(step); ++i) {
        if (!(words >> word)) {
            throw std::runtime_error("PCIENIC_BDFS names too few devices: this program is for the guest suite 'steps'");
        }
    }
    return uiovfio::Bdf::parse(word);
}

std::string output_of(const std::string& command) {
    std::string output;
    std::array<char, 4096> chunk{};
    std::FILE* pipe = ::popen(command.c_str(), "re");
    if (pipe == nullptr) {
        throw std::system_error(errno, std::generic_category(), command);
    }
    while (const std::size_t n = std::fread(chunk.data(), 1, chunk.size(), pipe)) {
        output.append(chunk.data(), n);
    }
    EXPECT_EQ(::pclose(pipe), 0) << command << " failed";
    return output;
}

std::string lspci(Step step, const std::string& options) {
    return output_of("lspci " + options + " -nn -s " + uiovfio::to_string(bdf(step)));
}

SysfsRegisters::SysfsRegisters(Step step) {
    const auto device = bdf(step);
    if (!(std::ofstream(sysfs(device, "enable")) << "1\n" << std::flush)) {
        throw std::runtime_error(uiovfio::to_string(device) + ": cannot be enabled through sysfs");
    }
    const int file = ::open(sysfs(device, "resource0").c_str(), O_RDWR | O_SYNC | O_CLOEXEC);
    void* base = ::mmap(nullptr, kBarSize, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    const int error = errno;
    ::close(file);
    if (base == MAP_FAILED) {
        throw std::system_error(error, std::generic_category(), "mapping resource0 of " + uiovfio::to_string(device));
    }
    base_ = static_cast<std::byte*>(base);
}

SysfsRegisters::~SysfsRegisters() { ::munmap(base_, kBarSize); }

VfioDevice::VfioDevice(Step step)
    : binding_(bdf(step), "vfio-pci"), device_(uiovfio::Device::open(bdf(step))), registers_(device_.bar(0).map()) {
    device_.config().set_bus_master(true);  // no case leaves its device at work
}

void VfioDevice::expect_only(unsigned vector) {
    EXPECT_EQ(device_.interrupts().wait(vector, kWatchdog), 1U) << "vector " << vector;
    expect_silence();
}

void VfioDevice::expect_silence() {
    for (unsigned vector = 0; vector < device_.interrupts().count(); ++vector) {
        EXPECT_EQ(device_.interrupts().try_take(vector), 0U) << "vector " << vector;
    }
}

void DmaCommand::go(uiovfio::Iova source, uiovfio::Iova destination, std::uint32_t length, std::uint32_t vector) {
    registers_.store<std::uint64_t>(base_ + 0x00, uiovfio::to_integer(source));
    registers_.store<std::uint64_t>(base_ + 0x08, uiovfio::to_integer(destination));
    registers_.store<std::uint32_t>(base_ + 0x10, length);
    registers_.store<std::uint32_t>(base_ + 0x14, vector);
    registers_.store<std::uint32_t>(base_ + 0x18, 1);
}

DmaCommand::Status DmaCommand::status() const {
    return static_cast<Status>(registers_.load<std::uint32_t>(base_ + 0x1c));
}

DmaCommand::Status DmaCommand::finish() const {
    while (status() == busy) {
        std::this_thread::yield();
    }
    return status();
}

}  // namespace steps

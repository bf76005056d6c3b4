// SPDX-License-Identifier: MIT
//
// From nothing to the device's first register.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <pcienic/registers.hpp>
#include <system_error>

#include "measure/contest.hpp"
#include "measure/other_ways.hpp"
#include "measure/plan.hpp"

namespace pcienic::bench {
namespace {

constexpr unsigned kRounds = 30;
constexpr unsigned kRegisterBar = 0;

volatile std::uint32_t sink;

[[noreturn]] void fail(const char* what) { throw std::system_error{errno, std::generic_category(), what}; }

int checked(int result, const char* what) {
    if (result < 0) fail(what);
    return result;
}

struct File {
    explicit File(int opened, const char* what) : descriptor{checked(opened, what)} {}
    ~File() { ::close(descriptor); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    int descriptor;
};

/// What it takes at the least: the calls of the kernel's documentation, and a load. Bus mastering is left alone.
class ByHand {
  public:
    ByHand(const std::string& group, const std::string& bdf)
        : container_{::open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC), "/dev/vfio/vfio"},
          group_{::open(group.c_str(), O_RDWR | O_CLOEXEC), group.c_str()},
          device_{device_of(container_, group_, bdf), "VFIO_GROUP_GET_DEVICE_FD"} {
        vfio_region_info region{};
        region.argsz = sizeof region;
        region.index = kRegisterBar;
        checked(::ioctl(device_.descriptor, VFIO_DEVICE_GET_REGION_INFO, &region), "VFIO_DEVICE_GET_REGION_INFO");
        size_ = region.size;
        bar_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, device_.descriptor,
                      static_cast<off_t>(region.offset));
        if (bar_ == MAP_FAILED) fail("mmap");
    }
    ~ByHand() { ::munmap(bar_, size_); }
    ByHand(const ByHand&) = delete;
    ByHand& operator=(const ByHand&) = delete;

    [[nodiscard]] std::uint32_t id() const noexcept {
        return static_cast<volatile std::uint32_t*>(bar_)[regs::Id::kOffset / sizeof(std::uint32_t)];
    }

  private:
    static int device_of(const File& container, const File& group, const std::string& bdf) {
        checked(::ioctl(group.descriptor, VFIO_GROUP_SET_CONTAINER, &container.descriptor), "VFIO_GROUP_SET_CONTAINER");
        checked(::ioctl(container.descriptor, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), "VFIO_SET_IOMMU");
        return ::ioctl(group.descriptor, VFIO_GROUP_GET_DEVICE_FD, bdf.c_str());
    }

    File container_;
    File group_;
    File device_;
    void* bar_ = nullptr;
    std::size_t size_ = 0;
};

const std::string kByHand = "VFIO's ioctls by hand";

void enter_by_hand(Contest& contest, const uiovfio::PciFunction& function) {
    const std::string group = fmt::format("/dev/vfio/{}", function.iommu_group.value_or(0));
    const std::string bdf = to_string(function.bdf);
    contest.enter({.name = kByHand}, [=](Recorder& recorder) {
        std::optional<ByHand> opened;
        recorder.time(1, [&] { sink = opened.emplace(group, bdf).id(); });
    });
}

void enter_backend(Contest& contest, const uiovfio::Bdf& bdf, const uiovfio::BackendTraits& backend) {
    const Entry entry{.name = fmt::format("Device::open, {}", backend.name), .baseline = kByHand};
    contest.enter(entry, [bdf, &backend](Recorder& recorder) {
        const Bound bound{bdf, backend.driver};
        uiovfio::Device device;
        recorder.time(1, [&] {
            device = uiovfio::Device::open(bdf, {.backend = std::string{backend.name}});
            const uiovfio::Window registers = device.bar(kRegisterBar).window();
            sink = regs::Id::read(registers).raw();
        });
    });
}

}  // namespace

std::vector<Group> measure_open(const Plan& plan) {
    Contest contest{"open.ready", "Opening a device",
                    "to the first register read; a reset of the device by the kernel is in it, closing is not"};
    if (why_not(plan.device, "vfio"))
        contest.skip(kByHand, why_not(plan.device, "vfio")->what_was_wrong);
    else
        enter_by_hand(contest, uiovfio::describe(plan.device));
    for (const uiovfio::BackendTraits& backend : uiovfio::backends()) {
        if (backend.name == "sim") continue;  // it is made, not opened
        try {
            const Bound bound{plan.device, backend.driver};
            uiovfio::Device::open(plan.device, {.backend = std::string{backend.name}});
            enter_backend(contest, plan.device, backend);
        } catch (const uiovfio::Error& error) {
            contest.skip(fmt::format("Device::open, {}", backend.name), error.what());
        }
    }
    contest.run(plan.rounds(kRounds));
    return {contest.group()};
}

}  // namespace pcienic::bench

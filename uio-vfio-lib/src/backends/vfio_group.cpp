// SPDX-License-Identifier: MIT
#include "backends/vfio_group.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/vfio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>

#include "backends/vfio_refusal.hpp"
#include "obstacles.hpp"
#include "reserved_regions.hpp"
#include "vfio_calls.hpp"

namespace uiovfio::detail {

const VfioGroupKind kType1Group{
    .backend = "vfio",
    .node_prefix = "",
    .iommu_type = VFIO_TYPE1v2_IOMMU,
    .missing_type = "the kernel's VFIO has no driver for the IOMMU (type 1, version 2)",
    .type_remedy = "load it with `modprobe vfio_iommu_type1`",
};

const VfioGroupKind kNoIommuGroup{
    .backend = "vfio-noiommu",
    .node_prefix = "noiommu-",
    .iommu_type = VFIO_NOIOMMU_IOMMU,
    .missing_type = "the kernel's VFIO does not work without an IOMMU",
    .type_remedy = "allow it: `echo 1 > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode`",
};

namespace {

constexpr unsigned kBusyPauseMilliseconds = 20;

// Addresses that no kernel of a machine with an IOMMU refuses, for kernels that do not tell what they can map.
constexpr std::uint64_t kSmallestAperture = std::uint64_t{1} << 39;

GroupMembers<VfioGroup>& groups() {
    static auto& all = *new GroupMembers<VfioGroup>;  // not destroyed: devices may outlive every order of destruction
    return all;
}

/// Opens a device step by step; each step's failure is told in the user's terms.
class Opening {
  public:
    Opening(const VfioGroupKind& kind, const Bdf& bdf, const OpenOptions& options, System& system)
        : kind_{kind},
          options_{options},
          system_{system},
          function_{describe(bdf, options.root)},
          object_{to_string(bdf)} {
        // What can be known from sysfs is told before anything is touched.
        if (const auto obstacle = obstacle_before_opening(function_, kind.backend, options.root))
            throw_obstacle(*obstacle);
        node_ = options.root.dev / "vfio" / fmt::format("{}{}", kind.node_prefix, *function_.iommu_group);
    }

    VfioOpened run() {
        VfioOpened opened;
        opened.member = join();
        opened.device = get_device(opened.member->group.get());
        return opened;
    }

  private:
    [[nodiscard]] std::int64_t attempts() const {
        return 1 + std::max<std::int64_t>(options_.busy_timeout.count(), 0) / std::int64_t{kBusyPauseMilliseconds};
    }

    // Who binds, resets or removes the device has it locked meanwhile, and the kernel does not wait for that.
    File get_device(int group) {
        vfio::Outcome<int> device;
        for (std::int64_t attempt = 0; attempt < attempts(); ++attempt) {
            if (attempt != 0) system_.sleep_milliseconds(kBusyPauseMilliseconds);
            device = vfio::get_device_fd(system_, group, object_);
            if (device.error != EAGAIN) break;
        }
        if (!device) fail("VFIO_GROUP_GET_DEVICE_FD", device.error, VfioStep::open_device);
        return File{system_, device.value};
    }

    // A process that has just ended may hold the group a moment longer: the kernel closes its files after its death.
    VfioMember join() {
        using Joining = GroupMembers<VfioGroup>::Joining;
        VfioMember member;
        Joining outcome{};
        for (std::int64_t attempt = 0; attempt < attempts(); ++attempt) {
            if (attempt != 0) system_.sleep_milliseconds(kBusyPauseMilliseconds);
            outcome = groups().join(node_, function_.bdf, member, [&] { return make_group(); });
            if (outcome == Joining::joined) return member;
        }
        if (outcome == Joining::member_already)
            throw Error{Errc::device_busy, object_, "this process has the device open already", 0,
                        "use that Device, or close it first"};
        const std::string holders = holders_text(function_.bdf, options_.root);
        throw Error{Errc::group_busy, object_,
                    fmt::format("{} is held by {}", node_, holders.empty() ? "another process" : holders), EBUSY,
                    fmt::format("end that process; `fuser -v {}` names it", node_)};
    }

    /// Null while the group is busy.
    std::unique_ptr<VfioGroup> make_group() {
        if (container_.get() < 0) container_ = open_container();
        File group = open_group();
        if (group.get() < 0) return nullptr;
        if (const auto viable = vfio::is_group_viable(system_, group.get()); !viable)
            fail("VFIO_GROUP_GET_STATUS", viable.error);
        else if (!viable.value)
            not_viable();
        auto made = std::make_unique<VfioGroup>();
        made->container = std::move(container_);
        made->group = std::move(group);
        if (const int error = vfio::set_container(system_, made->group.get(), made->container.get()))
            fail("VFIO_GROUP_SET_CONTAINER", error, VfioStep::claim_group);
        set_iommu(made->container.get());
        if (kind_.iommu_type == VFIO_TYPE1v2_IOMMU) ask_iommu(*made);
        return made;
    }

    [[noreturn]] void fail(std::string_view call, int error, VfioStep step = VfioStep::ask) const {
        if (kind_.iommu_type == VFIO_NOIOMMU_IOMMU && error == EPERM)
            throw Error{Errc::permission_denied, object_, fmt::format("{} was refused", call), error,
                        kNoIommuNeedsRoot};
        throw vfio_refusal(step, call, error, function_, UnsafeInterrupts::type1, options_.root);
    }

    [[noreturn]] void denied(const std::string& node, int error, std::string remedy = {}) const {
        if (remedy.empty())
            remedy = fmt::format("run as root, or give the node to this user: `chown {} {}`", ::geteuid(), node);
        throw Error{Errc::permission_denied, object_, fmt::format("this process may not open {}", node), error,
                    std::move(remedy)};
    }

    [[noreturn]] void not_viable() const {
        if (const auto obstacle = obstacle_before_opening(function_, kind_.backend, options_.root))
            throw_obstacle(*obstacle);
        throw Error{
            Errc::group_not_viable, object_,
            fmt::format("IOMMU group {} is not viable: a kernel driver uses a device of it", *function_.iommu_group)};
    }

    File open_container() {
        const std::string node = options_.root.dev / "vfio/vfio";
        File container{system_, system_.open(node.c_str(), O_RDWR | O_CLOEXEC)};
        if (container.get() < 0) {
            const int error = errno;
            if (error == EACCES || error == EPERM) denied(node, error);
            if (error != ENOENT && error != ENODEV && error != ENXIO) fail(fmt::format("opening {}", node), error);
            throw Error{Errc::no_vfio, object_, fmt::format("cannot open {}", node), error,
                        "load the kernel's VFIO modules with `modprobe vfio-pci`"};
        }
        const auto version = vfio::get_api_version(system_, container.get());
        if (!version) fail("VFIO_GET_API_VERSION", version.error);
        if (version.value != VFIO_API_VERSION)
            throw Error{
                Errc::unsupported, object_,
                fmt::format("the kernel's VFIO has version {}, this library knows {}", version.value, VFIO_API_VERSION),
                0, "use a library that is made for this kernel"};
        const auto has_type = vfio::check_extension(system_, container.get(), kind_.iommu_type);
        if (!has_type) fail("VFIO_CHECK_EXTENSION", has_type.error);
        if (!has_type.value)
            throw Error{Errc::no_vfio, object_, std::string{kind_.missing_type}, 0, std::string{kind_.type_remedy}};
        return container;
    }

    /// Not open while the group is busy.
    File open_group() {
        File group{system_, system_.open(node_.c_str(), O_RDWR | O_CLOEXEC)};
        if (group.get() >= 0) return group;
        const int error = errno;
        if (error == EBUSY) return group;
        if (error == EACCES || error == EPERM)
            denied(node_, error, kind_.iommu_type == VFIO_NOIOMMU_IOMMU ? kNoIommuNeedsRoot : "");
        if (error == ENOENT || error == ENODEV)
            throw Error{Errc::not_bound, object_, fmt::format("{} does not exist", node_), error};
        fail(fmt::format("opening {}", node_), error);
    }

    void set_iommu(int container) {
        if (const int error = vfio::set_iommu(system_, container, kind_.iommu_type))
            fail("VFIO_SET_IOMMU", error, VfioStep::take_iommu);
    }

    void ask_iommu(VfioGroup& group) {
        auto iommu = vfio::get_iommu_info(system_, group.container.get());
        if (!iommu) fail("VFIO_IOMMU_GET_INFO", iommu.error);
        group.page_sizes = iommu.value.page_sizes;
        auto& ranges = iommu.value.ranges;
        group.reserved = function_.reserved_regions;
        if (ranges.empty()) ranges = without_reserved({Iova{0}, Iova{kSmallestAperture - 1}}, group.reserved);
        group.space.emplace(ranges, group.page_sizes & (~group.page_sizes + 1));
    }

    const VfioGroupKind& kind_;
    const OpenOptions& options_;
    System& system_;
    PciFunction function_;
    std::string object_;
    std::string node_;
    File container_;  // until a group has it
};

}  // namespace

VfioOpened open_in_group(const VfioGroupKind& kind, const Bdf& bdf, const OpenOptions& options, System& system) {
    return Opening{kind, bdf, options, system}.run();
}

}  // namespace uiovfio::detail

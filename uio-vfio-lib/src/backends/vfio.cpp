// SPDX-License-Identifier: MIT
#include "backends/vfio.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/vfio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "backend_list.hpp"
#include "backends/vfio_device.hpp"
#include "iova_space.hpp"
#include "obstacles.hpp"
#include "reserved_regions.hpp"
#include "text.hpp"
#include "vfio_calls.hpp"

namespace uiovfio::detail {

namespace {

constexpr unsigned kBusyPauseMilliseconds = 20;

// Addresses that no kernel of a machine with an IOMMU refuses, for kernels that do not tell what they can map.
constexpr std::uint64_t kSmallestAperture = std::uint64_t{1} << 39;

/// The open files of a device: from the widest to the narrowest, so that they close the other way round.
struct Files {
    File container;
    File group;
    File device;
};

/// Opens a device step by step; each step's failure is told in the user's terms.
class Opening {
  public:
    Opening(const Bdf& bdf, const OpenOptions& options, System& system)
        : options_{options}, system_{system}, function_{describe(bdf, options.root)}, object_{to_string(bdf)} {
        // What can be known from sysfs is told before anything is touched.
        if (const auto obstacle = why_not_vfio(function_, options.root)) throw_obstacle(*obstacle);
    }

    Files run() {
        Files files;
        files.container = open_container();
        files.group = open_group();
        if (const auto viable = vfio::is_group_viable(system_, files.group.get()); !viable)
            fail("VFIO_GROUP_GET_STATUS", viable.error);
        else if (!viable.value)
            not_viable();
        if (const int error = vfio::set_container(system_, files.group.get(), files.container.get()))
            fail("VFIO_GROUP_SET_CONTAINER", error);
        set_iommu(files.container.get());
        const auto device = vfio::get_device_fd(system_, files.group.get(), object_);
        if (!device) fail("VFIO_GROUP_GET_DEVICE_FD", device.error);
        files.device = File{system_, device.value};
        return files;
    }

  private:
    [[noreturn]] void fail(std::string_view call, int error) const {
        if (error == ENODEV || error == ENXIO)
            throw Error{Errc::device_gone, object_, fmt::format("{} failed", call), error,
                        "see that the device is still in its slot and bound to vfio-pci"};
        throw Error{Errc::system_error, object_, fmt::format("{} failed", call), error};
    }

    [[noreturn]] void denied(const std::string& node, int error) const {
        throw Error{Errc::permission_denied, object_, fmt::format("this process may not open {}", node), error,
                    fmt::format("run as root, or give the node to this user: `chown {} {}`", ::geteuid(), node)};
    }

    [[noreturn]] void not_viable() const {
        if (const auto obstacle = why_not_vfio(function_, options_.root)) throw_obstacle(*obstacle);
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
        const auto type1 = vfio::check_extension(system_, container.get(), VFIO_TYPE1v2_IOMMU);
        if (!type1) fail("VFIO_CHECK_EXTENSION", type1.error);
        if (!type1.value)
            throw Error{Errc::no_vfio, object_, "the kernel's VFIO has no driver for the IOMMU (type 1, version 2)", 0,
                        "load it with `modprobe vfio_iommu_type1`"};
        return container;
    }

    // A process that has just ended may hold the group a moment longer: the kernel closes its files after its death.
    File open_group() {
        const std::string node = options_.root.dev / "vfio" / std::to_string(*function_.iommu_group);
        const auto attempts =
            1 + std::max<std::int64_t>(options_.busy_timeout.count(), 0) / std::int64_t{kBusyPauseMilliseconds};
        int error = 0;
        for (std::int64_t attempt = 0; attempt < attempts; ++attempt) {
            if (attempt != 0) system_.sleep_milliseconds(kBusyPauseMilliseconds);
            File group{system_, system_.open(node.c_str(), O_RDWR | O_CLOEXEC)};
            if (group.get() >= 0) return group;
            error = errno;
            if (error != EBUSY) break;
        }
        if (error == EBUSY)
            throw Error{
                Errc::group_busy, object_,
                fmt::format("{} is held by another process, or by this one through another device of the group", node),
                error, fmt::format("end that process; `fuser -v {}` names it", node)};
        if (error == EACCES || error == EPERM) denied(node, error);
        if (error == ENOENT || error == ENODEV)
            throw Error{Errc::not_bound, object_, fmt::format("{} does not exist", node), error};
        throw Error{Errc::system_error, object_, fmt::format("cannot open {}", node), error};
    }

    void set_iommu(int container) {
        const int error = vfio::set_iommu(system_, container, VFIO_TYPE1v2_IOMMU);
        if (error == EPERM)
            throw Error{Errc::no_iommu, object_, "the IOMMU does not remap interrupts, so the kernel refuses VFIO",
                        error,
                        "turn interrupt remapping on (QEMU: -machine kernel-irqchip=split -device "
                        "intel-iommu,intremap=on)"};
        if (error != 0) fail("VFIO_SET_IOMMU", error);
    }

    const OpenOptions& options_;
    System& system_;
    PciFunction function_;
    std::string object_;
};

class VfioBackend final : public VfioDevice {
  public:
    VfioBackend(const Bdf& bdf, const OpenOptions& options, System& system, Files files)
        : VfioDevice{bdf, system, std::move(files.device)},
          group_{std::move(files.group)},
          container_{std::move(files.container)} {
        const auto iommu = vfio::get_iommu_info(system, container());
        if (!iommu) fail("VFIO_IOMMU_GET_INFO", iommu.error);
        page_sizes_ = iommu.value.page_sizes;
        std::vector<IovaRange> ranges = iommu.value.ranges;
        if (ranges.empty())
            ranges =
                without_reserved({Iova{0}, Iova{kSmallestAperture - 1}}, describe(bdf, options.root).reserved_regions);
        space_.emplace(ranges, page_sizes_ & (~page_sizes_ + 1));
    }

    ~VfioBackend() override { close(); }

    [[nodiscard]] const BackendTraits& traits() const noexcept override { return traits_of("vfio"); }

    [[nodiscard]] std::vector<IovaRange> iova_ranges() override { return space_->ranges(); }
    [[nodiscard]] std::uint64_t iova_page_sizes() override { return page_sizes_; }
    [[nodiscard]] std::optional<std::uint64_t> mappings_left() override {
        const auto info = vfio::get_iommu_info(system(), container());
        if (!info) fail("VFIO_IOMMU_GET_INFO", info.error);
        return info.value.mappings_left;
    }

    Iova dma_map(std::optional<Iova> wanted, std::span<std::byte> memory, DmaDirection direction) override {
        const Iova iova = space_->take(object() + " DMA", wanted, memory.size());
        const int error = vfio::map_dma(system(), container(), iova, memory, direction);
        if (error == 0) {
            mapped_bytes_ += memory.size();
            return iova;
        }
        space_->give_back(iova, memory.size());
        throw_map(iova, memory, error);
    }

    void dma_unmap(Iova iova, std::uint64_t length) override {
        const auto outcome = vfio::unmap_dma(system(), container(), iova, length);
        if (!outcome) fail("VFIO_IOMMU_UNMAP_DMA", outcome.error);
        mapped_bytes_ -= std::min<std::uint64_t>(outcome.value, mapped_bytes_);
        if (outcome.value != length)
            throw Error{Errc::short_unmap, object() + " DMA",
                        fmt::format("{} of {} at {:#x} were unmapped", bytes_text(outcome.value), bytes_text(length),
                                    to_integer(iova))};
        space_->give_back(iova, length);
    }

  protected:
    void do_close() noexcept override {
        close_device();
        group_.close();
        container_.close();
    }

  private:
    [[nodiscard]] int container() const noexcept { return container_.get(); }

    [[noreturn]] void throw_map(Iova iova, std::span<const std::byte> memory, int error) const {
        const std::string object = this->object() + " DMA";
        const std::string what = fmt::format("{} at bus address {:#x}", bytes_text(memory.size()), to_integer(iova));
        switch (error) {
            case ENOMEM:
                throw_no_memory(memory.size());
            case EEXIST:
                throw Error{Errc::mapping_overlap, object, what + " overlap a mapping of the kernel's", error};
            case ENOSPC:
                throw Error{Errc::mapping_limit, object, "all the mappings that the kernel allows are in use", error};
            case EINVAL:
                throw Error{Errc::iova_out_of_aperture, object, what + " are not what the IOMMU can map", error};
            case EFAULT:
                throw Error{Errc::system_error, object, "the memory cannot be pinned", error,
                            "map memory that this process can read and write"};
            default:
                fail("VFIO_IOMMU_MAP_DMA", error);
        }
    }

    [[noreturn]] void throw_no_memory(std::uint64_t size) const {
        const std::uint64_t limit = system().memory_lock_limit();
        if (limit == System::kUnlimited)
            throw Error{Errc::system_error, object() + " DMA",
                        fmt::format("the kernel is out of memory: it cannot pin {} beside the {} that are mapped",
                                    bytes_text(size), bytes_text(mapped_bytes_)),
                        ENOMEM, "free memory, or map less at a time"};
        const std::uint64_t wanted = mapped_bytes_ + size;
        if (wanted <= limit)
            throw Error{
                Errc::memory_lock_limit, object() + " DMA",
                fmt::format("cannot pin {}: {} are mapped here, and the limit of {} counts all that this process "
                            "has locked",
                            bytes_text(size), bytes_text(mapped_bytes_), bytes_text(limit)),
                ENOMEM};
        throw Error{Errc::memory_lock_limit, object() + " DMA",
                    fmt::format("the memory lock limit is {}, {} are mapped and this mapping needs {}",
                                bytes_text(limit), bytes_text(mapped_bytes_), bytes_text(size)),
                    ENOMEM, fmt::format("raise it with `ulimit -l {}`, or grant CAP_IPC_LOCK", (wanted + 1023) / 1024)};
    }

    File group_;
    File container_;
    std::optional<IovaSpace> space_;
    std::uint64_t page_sizes_ = 0;
    std::atomic<std::uint64_t> mapped_bytes_{0};
};

}  // namespace

std::shared_ptr<Backend> open_vfio(const Bdf& bdf, const OpenOptions& options, System& system) {
    return std::make_shared<VfioBackend>(bdf, options, system, Opening{bdf, options, system}.run());
}

std::shared_ptr<Backend> open_vfio(const Bdf& bdf, const OpenOptions& options) {
    return open_vfio(bdf, options, real_system());
}

}  // namespace uiovfio::detail

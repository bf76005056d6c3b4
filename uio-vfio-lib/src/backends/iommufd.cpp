// SPDX-License-Identifier: MIT
#include "backends/iommufd.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <mutex>
#include <utility>

#include "backend_list.hpp"
#include "backends/group_members.hpp"
#include "backends/vfio_device.hpp"
#include "backends/vfio_refusal.hpp"
#include "guarded.hpp"
#include "iommufd_calls.hpp"
#include "iova_space.hpp"
#include "mapping_record.hpp"
#include "obstacles.hpp"
#include "sysfs_files.hpp"
#include "text.hpp"

namespace uiovfio::detail {

namespace {

constexpr unsigned kPauseMilliseconds = 20;
// How long a node may take to appear after a driver took the device: udev makes it, in its own time.
constexpr unsigned kNodeMilliseconds = 2000;
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kLargePage = std::uint64_t{2} << 20;

/// The I/O address space of an IOMMU group: its devices have to be attached to the same one.
struct AddressSpace {
    AddressSpace(System& with, File opened) noexcept : system{with}, iommufd{std::move(opened)} {}
    ~AddressSpace() {
        if (id != 0) iommufd::destroy(system, iommufd.get(), id);
    }
    AddressSpace(const AddressSpace&) = delete;
    AddressSpace& operator=(const AddressSpace&) = delete;

    System& system;
    File iommufd;
    unsigned id = 0;
    std::vector<ReservedRegion> reserved;
    std::mutex mutex;  // guards what follows, and keeps mappings from coming while a device is attached
    std::vector<IovaRange> ranges;
    std::uint64_t granule = kPage;
};

using Member = GroupMembers<AddressSpace>::Member;

GroupMembers<AddressSpace>& groups() {
    static auto& all =
        *new GroupMembers<AddressSpace>;  // not destroyed: devices may outlive every order of destruction
    return all;
}

struct Opened {
    Member member;  // before the device: it leaves after that is closed
    File device;
};

/// Opens a device step by step; each step's failure is told in the user's terms.
class Opening {
  public:
    Opening(const Bdf& bdf, const OpenOptions& options, System& system)
        : options_{options}, system_{system}, function_{describe(bdf, options.root)}, object_{to_string(bdf)} {
        wait_for_node();
        if (const auto obstacle = obstacle_before_opening(function_, "iommufd", options.root))
            throw_obstacle(*obstacle);
    }

    Opened run() {
        Opened opened;
        using Joining = GroupMembers<AddressSpace>::Joining;
        const auto attempts =
            1 + std::max<std::int64_t>(options_.busy_timeout.count(), 0) / std::int64_t{kPauseMilliseconds};
        const std::string name = fmt::format("{} group {}", options_.root.dev.string(), *function_.iommu_group);
        int error = 0;
        for (std::int64_t attempt = 0; attempt < attempts; ++attempt) {
            if (attempt != 0) system_.sleep_milliseconds(kPauseMilliseconds);
            Member member;
            const auto outcome = groups().join(name, function_.bdf, member, [&] { return make_space(); });
            error = 0;
            if (outcome != Joining::joined) continue;
            opened.device = open_node(vfio_device_node(function_.bdf, options_.root).string());
            const auto bound = iommufd::bind(system_, opened.device.get(), member->iommufd.get());
            if (bound) {
                opened.member = std::move(member);
                attach(*opened.member, opened.device.get());
                return opened;
            }
            error = bound.error;
            opened.device.close();
            if (!may_pass(error)) break;
        }
        if (error == 0)
            throw Error{Errc::device_busy, object_, "this process has the device open already", 0,
                        "use that Device, or close it first"};
        throw_bind(error);
    }

  private:
    // The node comes after the driver: what is missing now may be there in a moment.
    void wait_for_node() {
        std::error_code none;
        if (!is_vfio_driver(function_.driver) || !std::filesystem::exists(options_.root.dev / "iommu", none)) return;
        for (unsigned waited = 0; waited < kNodeMilliseconds; waited += kPauseMilliseconds) {
            const auto node = vfio_device_node(function_.bdf, options_.root);
            if (!node.empty() && std::filesystem::exists(node, none)) return;
            system_.sleep_milliseconds(kPauseMilliseconds);
        }
    }

    File open_node(const std::string& node) {
        File file{system_, system_.open(node.c_str(), O_RDWR | O_CLOEXEC)};
        if (file.get() >= 0) return file;
        const int error = errno;
        if (error == EACCES || error == EPERM)
            throw Error{Errc::permission_denied, object_, fmt::format("this process may not open {}", node), error,
                        fmt::format("run as root, or give the node to this user: `chown {} {}`", ::geteuid(), node)};
        if (error == ENOENT || error == ENODEV || error == ENXIO)
            throw Error{Errc::no_vfio, object_, fmt::format("cannot open {}", node), error,
                        "load the kernel's modules with `modprobe -a iommufd vfio-pci`"};
        fail(fmt::format("opening {}", node), error);
    }

    std::unique_ptr<AddressSpace> make_space() {
        auto space = std::make_unique<AddressSpace>(system_, open_node((options_.root.dev / "iommu").string()));
        const auto id = iommufd::ioas_alloc(system_, space->iommufd.get());
        if (!id) fail("IOMMU_IOAS_ALLOC", id.error);
        space->id = id.value;
        space->reserved = function_.reserved_regions;
        return space;
    }

    // What one device was allowed must not keep the next from being attached, so it is lifted meanwhile; and put back
    // where the next fails, for those that are attached.
    void attach(AddressSpace& space, int device) {
        const std::lock_guard lock{space.mutex};
        const int iommu = space.iommufd.get();
        if (const int error = iommufd::ioas_allow_iovas(system_, iommu, space.id, {}))
            fail("IOMMU_IOAS_ALLOW_IOVAS", error);
        try {
            if (const int error = iommufd::attach(system_, device, space.id))
                fail("VFIO_DEVICE_ATTACH_IOMMUFD_PT", error, VfioStep::take_iommu);
            auto found = iommufd::ioas_iova_ranges(system_, iommu, space.id);
            if (!found) fail("IOMMU_IOAS_IOVA_RANGES", found.error);
            space.granule = std::max(found.value.alignment, kPage);
            space.ranges = std::move(found.value.ranges);
            if (const int error = allow_all_but_0(space)) fail("IOMMU_IOAS_ALLOW_IOVAS", error, VfioStep::take_iommu);
        } catch (...) {
            allow_all_but_0(space);
            throw;
        }
    }

    // The kernel chooses from what is allowed, and it would choose 0 first, which devices and drivers use for "none".
    int allow_all_but_0(const AddressSpace& space) {
        std::vector<IovaRange> allowed;
        for (IovaRange range : space.ranges) {
            range.first = std::max(range.first, Iova{space.granule});
            if (range.first <= range.last) allowed.push_back(range);
        }
        return iommufd::ioas_allow_iovas(system_, space.iommufd.get(), space.id, allowed);
    }

    /// Whether another process is in the way, which may be about to end.
    [[nodiscard]] bool may_pass(int error) const {
        return error == EBUSY || error == EINVAL || error == EAGAIN ||
               (error == EPERM && may_pass_interrupts(options_.root, UnsafeInterrupts::iommufd));
    }

    [[noreturn]] void throw_bind(int error) const {
        if (error == EINVAL)
            throw Error{Errc::device_busy, object_, "another process has the device open", error,
                        "end that process; `fuser -v /dev/vfio/* /dev/vfio/devices/*` names it"};
        // The kernel takes the group with it, asks whether its interrupts are remapped, and opens the device.
        const bool is_of_iommu = error == EBUSY || error == EPERM;
        fail("VFIO_DEVICE_BIND_IOMMUFD", error, is_of_iommu ? VfioStep::take_iommu : VfioStep::open_device);
    }

    [[noreturn]] void fail(std::string_view call, int error, VfioStep step = VfioStep::ask) const {
        throw vfio_refusal(step, call, error, function_, UnsafeInterrupts::iommufd, options_.root);
    }

    const OpenOptions& options_;
    System& system_;
    PciFunction function_;
    std::string object_;
};

class IommufdBackend final : public VfioDevice {
  public:
    IommufdBackend(const Bdf& bdf, System& system, Opened opened, const SysfsRoot& root)
        : VfioDevice{bdf, system, std::move(opened.device), root}, group_{std::move(opened.member)} {}

    ~IommufdBackend() override { close(); }

    [[nodiscard]] const BackendTraits& traits() const noexcept override { return traits_of("iommufd"); }

    [[nodiscard]] std::vector<IovaRange> iova_ranges() override {
        const std::lock_guard lock{group_->mutex};
        return group_->ranges;
    }
    // The kernel tells the smallest only.
    [[nodiscard]] std::uint64_t iova_page_sizes() override {
        const std::lock_guard lock{group_->mutex};
        return group_->granule;
    }
    [[nodiscard]] std::vector<ReservedRegion> reserved_regions() override { return group_->reserved; }
    [[nodiscard]] std::optional<std::uint64_t> mappings_left() override { return std::nullopt; }

    // An address of the caller's is a fixed one. Otherwise the kernel chooses wherever it chooses well: its record of
    // the address space is the only one, so that nothing here can differ from it when a further device narrows what can
    // be mapped.
    Iova dma_map(std::optional<Iova> wanted, std::span<std::byte> memory, DmaDirection direction) override {
        MappingRecord::Room room;
        const std::lock_guard lock{group_->mutex};
        const auto map_at = [&](std::optional<Iova> place) {
            return iommufd::ioas_map(system(), group_->iommufd.get(), group_->id, place, memory, direction);
        };
        const auto place = wanted ? wanted : place_around_large_pages(memory);
        auto mapped = map_at(place);
        // Another device of the group is there, of which this one's record knows nothing.
        if (!mapped && !wanted && place) mapped = map_at(std::nullopt);
        if (!mapped) throw_map(wanted, memory.size(), mapped.error);
        mapped_.add(std::move(room), mapped.value, memory.size());
        return mapped.value;
    }

    void dma_unmap(Iova iova, std::uint64_t length) override { unmap(*group_, iova, length); }

    // One call where everything in the address space is this device's: a range that is as long as can be said.
    void dma_unmap_all() noexcept override {
        bool done = false;
        group_.if_alone([&](AddressSpace& space) {
            const auto all = iommufd::ioas_unmap(system(), space.iommufd.get(), space.id, Iova{0}, ~std::uint64_t{0});
            done = static_cast<bool>(all) || all.error == ENOENT;
        });
        for (const auto& mapping : mapped_.take()) {
            std::error_code lost;
            if (!done) guarded(lost, [&] { unmap(*group_, Iova{mapping.first}, mapping.second); });
        }
    }

  protected:
    void do_close() noexcept override {
        close_device();
        // With the last device the address space goes. Other devices of the group go on: nothing of this one's may stay
        // within their reach.
        group_.leave([this](AddressSpace& space) {
            for (const auto& mapping : mapped_.take()) {
                std::error_code lost;
                guarded(lost, [&] { unmap(space, Iova{mapping.first}, mapping.second); });
            }
        });
    }

    void give_up_to_parent() noexcept override {
        VfioDevice::give_up_to_parent();
        // Before the address space's destructor could end the parent's; there is none once the device is closed.
        if (group_) group_->iommufd.close();
    }

  private:
    /// The kernel keeps large pages whole only of memory that begins with one (drivers/iommu/iommufd/io_pagetable.c,
    /// iopt_alloc_iova); for others it needs to be told a place.
    [[nodiscard]] std::optional<Iova> place_around_large_pages(std::span<const std::byte> memory) const {
        if (reinterpret_cast<std::uintptr_t>(memory.data()) % kLargePage == 0 || memory.size() < kLargePage)
            return std::nullopt;
        IovaAllocator free{group_->ranges, group_->granule};
        for (const auto& [first, length] : mapped_.all()) free.reserve(Iova{first}, length);
        return allocate_around_large_pages(free, group_->granule, memory);
    }

    void unmap(AddressSpace& space, Iova iova, std::uint64_t length) {
        const auto outcome = iommufd::ioas_unmap(system(), space.iommufd.get(), space.id, iova, length);
        if (!outcome && outcome.error != ENOENT) fail("IOMMU_IOAS_UNMAP", outcome.error);
        if (outcome.value != 0) mapped_.remove(iova);
        if (outcome.value != length)
            throw Error{Errc::short_unmap, object() + " DMA",
                        fmt::format("{} of {} at {:#x} were unmapped", bytes_text(outcome.value), bytes_text(length),
                                    to_integer(iova)),
                        outcome.error};
    }

    [[noreturn]] void throw_map(std::optional<Iova> wanted, std::uint64_t size, int error) const {
        const std::string object = this->object() + " DMA";
        const std::string what =
            wanted ? fmt::format("{} at bus address {:#x}", bytes_text(size), to_integer(*wanted)) : bytes_text(size);
        switch (error) {
            case ENOMEM:
                throw_no_memory(size);
            case EEXIST:
                throw Error{Errc::mapping_overlap, object, what + " overlap a mapping", error};
            case ENOSPC:
                throw Error{Errc::iova_exhausted, object, fmt::format("no free bus addresses for {}", what), error};
            case EINVAL:
            case EOVERFLOW:
                throw Error{Errc::iova_out_of_aperture, object, what + " are not what the IOMMU can map", error};
            case EFAULT:
                throw Error{Errc::system_error, object, "the memory cannot be pinned", error,
                            "map memory that this process can read and write"};
            default:
                fail("IOMMU_IOAS_MAP", error);
        }
    }

    // The kernel counts here what all processes of the user have pinned, not only this one's.
    [[noreturn]] void throw_no_memory(std::uint64_t size) const {
        const std::uint64_t limit = system().memory_lock_limit();
        const std::string object = this->object() + " DMA";
        if (limit == System::kUnlimited)
            throw Error{Errc::system_error, object,
                        fmt::format("the kernel is out of memory: it cannot pin {} beside the {} that are mapped",
                                    bytes_text(size), bytes_text(mapped_.bytes())),
                        ENOMEM, "free memory, or map less at a time"};
        throw Error{Errc::memory_lock_limit, object,
                    fmt::format("the memory lock limit is {} for all that the user has pinned, {} are mapped here and "
                                "this mapping needs {}",
                                bytes_text(limit), bytes_text(mapped_.bytes()), bytes_text(size)),
                    ENOMEM,
                    fmt::format("raise it with `ulimit -l {}`, or grant CAP_IPC_LOCK",
                                (std::max(limit, mapped_.bytes()) + size + 1023) / 1024)};
    }

    Member group_;
    MappingRecord mapped_;
};

}  // namespace

std::shared_ptr<Backend> open_iommufd(const Bdf& bdf, const OpenOptions& options, System& system) {
    return make_fork_guarded<IommufdBackend>(bdf, system, Opening{bdf, options, system}.run(), options.root);
}

std::shared_ptr<Backend> open_iommufd(const Bdf& bdf, const OpenOptions& options) {
    return open_iommufd(bdf, options, real_system());
}

}  // namespace uiovfio::detail

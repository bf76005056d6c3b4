// SPDX-License-Identifier: MIT
#include "backends/vfio.hpp"

#include <fmt/format.h>

#include <cerrno>

#include "backend_list.hpp"
#include "backends/vfio_device.hpp"
#include "backends/vfio_group.hpp"
#include "guarded.hpp"
#include "mapping_record.hpp"
#include "text.hpp"
#include "vfio_calls.hpp"

namespace uiovfio::detail {

namespace {

class VfioBackend final : public VfioDevice {
  public:
    VfioBackend(const Bdf& bdf, System& system, VfioOpened opened, const SysfsRoot& root)
        : VfioDevice{bdf, system, std::move(opened.device), root}, group_{std::move(opened.member)} {}

    ~VfioBackend() override { close(); }

    [[nodiscard]] const BackendTraits& traits() const noexcept override { return traits_of("vfio"); }

    [[nodiscard]] std::vector<IovaRange> iova_ranges() override { return group_->space->ranges(); }
    [[nodiscard]] std::vector<ReservedRegion> reserved_regions() override { return group_->reserved; }
    [[nodiscard]] std::uint64_t iova_page_sizes() override { return group_->page_sizes; }
    [[nodiscard]] std::optional<std::uint64_t> mappings_left() override {
        const auto info = vfio::get_iommu_info(system(), container());
        if (!info) fail("VFIO_IOMMU_GET_INFO", info.error);
        return info.value.mappings_left;
    }

    Iova dma_map(std::optional<Iova> wanted, std::span<std::byte> memory, DmaDirection direction) override {
        MappingRecord::Room room;
        const Iova iova = group_->space->take(object() + " DMA", wanted, memory);
        const int error = vfio::map_dma(system(), container(), iova, memory, direction);
        if (error == 0) {
            mapped_.add(std::move(room), iova, memory.size());
            return iova;
        }
        group_->space->give_back(iova, memory.size());
        throw_map(iova, memory, error);
    }

    void dma_unmap(Iova iova, std::uint64_t length) override { unmap(*group_, iova, length); }

    // One call where everything in the container is this device's, and the kernel knows that call (from 5.12).
    void dma_unmap_all() noexcept override {
        bool done = false;
        group_.if_alone(
            [&](VfioGroup& group) { done = static_cast<bool>(vfio::unmap_all_dma(system(), group.container.get())); });
        for (const auto& [first, length] : mapped_.take()) {
            std::error_code lost;  // then these addresses are never given out again
            guarded(lost, [&] {
                done ? group_->space->give_back(Iova{first}, length) : unmap(*group_, Iova{first}, length);
            });
        }
    }

  protected:
    void do_close() noexcept override {
        close_device();
        // With the last device the container goes, and all that is mapped with it. Other devices of the group go on:
        // nothing of this one's may stay within their reach.
        group_.leave([this](VfioGroup& group) {
            for (const auto& [first, length] : mapped_.take()) {
                std::error_code lost;  // then these addresses are never given out again
                guarded(lost, [&] { unmap(group, Iova{first}, length); });
            }
        });
    }

    void give_up_to_parent() noexcept override {
        VfioDevice::give_up_to_parent();
        if (group_) group_->close_files();  // none once the device is closed
    }

  private:
    [[nodiscard]] int container() const noexcept { return group_->container.get(); }

    void unmap(VfioGroup& group, Iova iova, std::uint64_t length) {
        const auto outcome = vfio::unmap_dma(system(), group.container.get(), iova, length);
        if (!outcome) fail("VFIO_IOMMU_UNMAP_DMA", outcome.error);
        if (outcome.value != 0) mapped_.remove(iova);
        if (outcome.value != length)
            throw Error{Errc::short_unmap, object() + " DMA",
                        fmt::format("{} of {} at {:#x} were unmapped", bytes_text(outcome.value), bytes_text(length),
                                    to_integer(iova))};
        group.space->give_back(iova, length);
    }

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
                                    bytes_text(size), bytes_text(mapped_.bytes())),
                        ENOMEM, "free memory, or map less at a time"};
        const std::uint64_t wanted = mapped_.bytes() + size;
        if (wanted <= limit)
            throw Error{
                Errc::memory_lock_limit, object() + " DMA",
                fmt::format("cannot pin {}: {} are mapped here, and the limit of {} counts all that this process "
                            "has locked",
                            bytes_text(size), bytes_text(mapped_.bytes()), bytes_text(limit)),
                ENOMEM};
        throw Error{Errc::memory_lock_limit, object() + " DMA",
                    fmt::format("the memory lock limit is {}, {} are mapped and this mapping needs {}",
                                bytes_text(limit), bytes_text(mapped_.bytes()), bytes_text(size)),
                    ENOMEM, fmt::format("raise it with `ulimit -l {}`, or grant CAP_IPC_LOCK", (wanted + 1023) / 1024)};
    }

    VfioMember group_;
    MappingRecord mapped_;
};

}  // namespace

std::shared_ptr<Backend> open_vfio(const Bdf& bdf, const OpenOptions& options, System& system) {
    return make_fork_guarded<VfioBackend>(bdf, system, open_in_group(kType1Group, bdf, options, system), options.root);
}

std::shared_ptr<Backend> open_vfio(const Bdf& bdf, const OpenOptions& options) {
    return open_vfio(bdf, options, real_system());
}

}  // namespace uiovfio::detail

// SPDX-License-Identifier: MIT
#include "backends/vfio.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/vfio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <sstream>

#include "sysfs_files.hpp"
#include "text.hpp"
#include "uiovfio/config_space.hpp"
#include "vfio_calls.hpp"

namespace uiovfio::detail {

namespace {

constexpr unsigned kBusyPauseMilliseconds = 20;

// Addresses that no kernel of a machine with an IOMMU refuses, for kernels that do not tell what they can map.
constexpr std::uint64_t kSmallestAperture = std::uint64_t{1} << 39;

constexpr std::size_t kAllOnesBytes = std::size_t{2} << 20;

unsigned index_of(InterruptMode mode) noexcept {
    switch (mode) {
        case InterruptMode::intx:
            return VFIO_PCI_INTX_IRQ_INDEX;
        case InterruptMode::msi:
            return VFIO_PCI_MSI_IRQ_INDEX;
        case InterruptMode::msix:
            return VFIO_PCI_MSIX_IRQ_INDEX;
    }
    return VFIO_PCI_INTX_IRQ_INDEX;
}

/// An open file of a System.
class File {
  public:
    File() noexcept = default;
    File(System& system, int descriptor) noexcept : system_{&system}, descriptor_{descriptor} {}
    File(File&& other) noexcept : system_{other.system_}, descriptor_{std::exchange(other.descriptor_, -1)} {}
    File& operator=(File&& other) noexcept {
        if (this != &other) {
            close();
            system_ = other.system_;
            descriptor_ = std::exchange(other.descriptor_, -1);
        }
        return *this;
    }
    ~File() { close(); }

    [[nodiscard]] int get() const noexcept { return descriptor_; }
    void close() noexcept {
        if (descriptor_ >= 0) system_->close(std::exchange(descriptor_, -1));
    }

  private:
    System* system_ = nullptr;
    int descriptor_ = -1;
};

/// The open files of a device: from the widest to the narrowest, so that they close the other way round.
struct Files {
    File container;
    File group;
    File device;
};

[[noreturn]] void throw_obstacle(const Obstacle& obstacle) {
    throw Error{obstacle.errc, obstacle.object, obstacle.what_was_wrong, 0, obstacle.remedy};
}

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

/// `ranges` without the regions of the group's file reserved_regions ("0xFIRST 0xLAST TYPE" a line).
std::vector<IovaRange> without_reserved(const std::filesystem::path& file) {
    std::vector<IovaRange> ranges{{Iova{0}, Iova{kSmallestAperture - 1}}};
    std::istringstream lines{read_text(file).value_or("")};
    std::string first_text;
    std::string last_text;
    std::string type;
    while (lines >> first_text >> last_text >> type) {
        const std::uint64_t first = std::strtoull(first_text.c_str(), nullptr, 16);
        const std::uint64_t last = std::strtoull(last_text.c_str(), nullptr, 16);
        std::vector<IovaRange> left;
        for (const IovaRange& range : ranges) {
            const std::uint64_t begin = to_integer(range.first);
            const std::uint64_t end = to_integer(range.last);
            if (last < begin || first > end) {
                left.push_back(range);
                continue;
            }
            if (begin < first) left.push_back({range.first, Iova{first - 1}});
            if (last < end) left.push_back({Iova{last + 1}, range.last});
        }
        ranges = std::move(left);
    }
    return ranges;
}

class VfioBackend final : public Backend {
  public:
    VfioBackend(const Bdf& bdf, const OpenOptions& options, System& system, Files files)
        : Backend{bdf}, system_{system}, files_{std::move(files)} {
        const auto info = vfio::get_device_info(system_, device());
        if (!info) fail("VFIO_DEVICE_GET_INFO", info.error);
        if (!info.value.is_pci || info.value.regions <= VFIO_PCI_CONFIG_REGION_INDEX)
            throw Error{Errc::unsupported, object(), "this VFIO device is no PCI function"};
        can_reset_ = info.value.can_reset;
        for (unsigned region = 0; region <= VFIO_PCI_CONFIG_REGION_INDEX; ++region) load_region(region);
        for (unsigned bar = 0; bar < kBarCount; ++bar) load_bar(bar);
        carve_out_msix_table();
        for (const InterruptMode mode : {InterruptMode::intx, InterruptMode::msi, InterruptMode::msix}) {
            const unsigned index = index_of(mode);
            if (index >= info.value.interrupt_indices) continue;
            const auto count = vfio::get_interrupt_count(system_, device(), index);
            if (!count) fail("VFIO_DEVICE_GET_IRQ_INFO", count.error);
            vectors_[index] = count.value;
        }
        const auto iommu = vfio::get_iommu_info(system_, container());
        if (!iommu) fail("VFIO_IOMMU_GET_INFO", iommu.error);
        page_sizes_ = iommu.value.page_sizes;
        ranges_ = iommu.value.ranges;
        if (ranges_.empty())
            ranges_ = without_reserved(device_directory(options.root, bdf) / "iommu_group/reserved_regions");
    }

    ~VfioBackend() override {
        close();
        for (const Mapping& mapping : mappings_)
            if (mapping.base != nullptr) system_.munmap(mapping.base, mapping.length);
    }

    [[nodiscard]] std::string_view name() const noexcept override { return "vfio"; }

    [[nodiscard]] std::uint16_t config_size() const noexcept override {
        return static_cast<std::uint16_t>(std::min<std::uint64_t>(regions_[VFIO_PCI_CONFIG_REGION_INDEX].size, 4096));
    }

    [[nodiscard]] std::uint32_t config_read(std::uint16_t offset, unsigned width) override {
        return static_cast<std::uint32_t>(read_file(VFIO_PCI_CONFIG_REGION_INDEX, offset, width));
    }

    void config_write(std::uint16_t offset, unsigned width, std::uint32_t value) override {
        write_file(VFIO_PCI_CONFIG_REGION_INDEX, offset, width, value);
    }

    [[nodiscard]] BarInfo bar_info(unsigned bar) const override { return bars_[bar]; }

    [[nodiscard]] bool is_mappable(unsigned bar, std::uint64_t offset, std::uint64_t length) const noexcept override {
        return std::any_of(areas_[bar].begin(), areas_[bar].end(), [&](const Area& area) {
            return area.offset <= offset && offset - area.offset < area.length &&
                   area.length - (offset - area.offset) >= length;
        });
    }

    // The whole BAR gets its addresses at once, and each part that can be mapped is put there: pieces of one BAR lie as
    // far from each other as in the device, and nothing is mapped twice.
    [[nodiscard]] volatile void* map(unsigned bar, std::uint64_t offset, std::uint64_t /*length*/) override {
        const std::lock_guard lock{mapping_mutex_};
        Mapping& mapping = mappings_[bar];
        if (mapping.base == nullptr) map_whole(bar, mapping);
        return static_cast<std::byte*>(mapping.base) + offset;
    }

    // Through the mapping where there is one: the kernel's file splits 8-byte accesses, on most versions.
    [[nodiscard]] std::uint64_t region_read(unsigned bar, std::uint64_t offset, unsigned width) override {
        if (!is_mappable(bar, offset, width)) return read_file(bar, offset, width);
        volatile void* at = map(bar, offset, width);
        switch (width) {
            case 1:
                return load<std::uint8_t>(at);
            case 2:
                return load<std::uint16_t>(at);
            case 4:
                return load<std::uint32_t>(at);
            default:
                return load<std::uint64_t>(at);
        }
    }

    void region_write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) override {
        if (!is_mappable(bar, offset, width)) return write_file(bar, offset, width, value);
        volatile void* at = map(bar, offset, width);
        switch (width) {
            case 1:
                return store<std::uint8_t>(at, static_cast<std::uint8_t>(value));
            case 2:
                return store<std::uint16_t>(at, static_cast<std::uint16_t>(value));
            case 4:
                return store<std::uint32_t>(at, static_cast<std::uint32_t>(value));
            default:
                return store<std::uint64_t>(at, value);
        }
    }

    [[nodiscard]] unsigned interrupt_capacity(InterruptMode mode) override { return vectors_[index_of(mode)]; }

    void arm(InterruptMode mode, std::span<const int> event_fds) override {
        const auto outcome = request(vfio::bytes_to_arm(index_of(mode), event_fds));
        if (outcome.error == 0 && outcome.value == 0) return;
        if (outcome.value > 0)
            throw Error{Errc::interrupt_capacity, object() + " interrupts",
                        fmt::format("{} {} vectors were asked for, the kernel could have {}", event_fds.size(),
                                    to_string(mode), outcome.value),
                        0, fmt::format("ask for no more than {}", outcome.value)};
        if (outcome.error == ENOSPC)
            throw Error{Errc::interrupt_capacity, object() + " interrupts",
                        fmt::format("the kernel has not {} vectors left", event_fds.size()), outcome.error};
        fail("VFIO_DEVICE_SET_IRQS", outcome.error);
    }

    void disarm(InterruptMode mode) override {
        const auto outcome = request(vfio::bytes_to_disarm(index_of(mode)));
        // EINVAL: not enabled any more, which is what is wanted.
        if (outcome.error != 0 && outcome.error != EINVAL) fail("VFIO_DEVICE_SET_IRQS", outcome.error);
    }

    void trigger(InterruptMode mode, unsigned vector) override {
        require(request(vfio::bytes_to_trigger(index_of(mode), vector)));
    }
    void mask_intx() override { require(request(vfio::bytes_to_mask(VFIO_PCI_INTX_IRQ_INDEX))); }
    void unmask_intx() override { require(request(vfio::bytes_to_unmask(VFIO_PCI_INTX_IRQ_INDEX))); }

    [[nodiscard]] std::vector<IovaRange> iova_ranges() override { return ranges_; }
    [[nodiscard]] std::uint64_t iova_page_sizes() override { return page_sizes_; }
    [[nodiscard]] std::optional<std::uint64_t> mappings_left() override {
        const auto info = vfio::get_iommu_info(system_, container());
        if (!info) fail("VFIO_IOMMU_GET_INFO", info.error);
        return info.value.mappings_left;
    }

    void dma_map(Iova iova, std::span<std::byte> memory, DmaDirection direction) override {
        const int error = vfio::map_dma(system_, container(), iova, memory, direction);
        if (error == 0) {
            mapped_bytes_ += memory.size();
            return;
        }
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

    void dma_unmap(Iova iova, std::uint64_t length) override {
        const auto outcome = vfio::unmap_dma(system_, container(), iova, length);
        if (!outcome) fail("VFIO_IOMMU_UNMAP_DMA", outcome.error);
        mapped_bytes_ -= std::min<std::uint64_t>(outcome.value, mapped_bytes_);
        if (outcome.value != length)
            throw Error{Errc::short_unmap, object() + " DMA",
                        fmt::format("{} of {} at {:#x} were unmapped", bytes_text(outcome.value), bytes_text(length),
                                    to_integer(iova))};
    }

    [[nodiscard]] bool can_reset() const noexcept override { return can_reset_; }

    void reset() override {
        if (const int error = vfio::reset_device(system_, device())) fail("VFIO_DEVICE_RESET", error);
    }

  protected:
    // The mappings hold the device open, so they go before its files: their addresses stay, and read all ones.
    void do_close() noexcept override {
        for (Mapping& mapping : mappings_)
            if (mapping.base != nullptr) cover_with_all_ones(mapping);
        files_.device.close();
        files_.group.close();
        files_.container.close();
    }

  private:
    struct Mapping {
        void* base = nullptr;
        std::size_t length = 0;
    };

    [[nodiscard]] int device() const noexcept { return files_.device.get(); }
    [[nodiscard]] int container() const noexcept { return files_.container.get(); }

    [[noreturn]] void fail(std::string_view call, int error) const {
        const bool gone = error == ENODEV || error == ENXIO || error == EIO;
        throw Error{gone ? Errc::device_gone : Errc::system_error, object(), fmt::format("{} failed", call), error};
    }

    [[noreturn]] void throw_no_memory(std::uint64_t size) const {
        const std::uint64_t limit = system_.memory_lock_limit();
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

    vfio::Outcome<unsigned> request(std::vector<std::byte> bytes) { return vfio::set_irqs(system_, device(), bytes); }
    void require(const vfio::Outcome<unsigned>& outcome) const {
        if (!outcome) fail("VFIO_DEVICE_SET_IRQS", outcome.error);
    }

    [[nodiscard]] std::uint64_t read_file(unsigned region, std::uint64_t offset, unsigned width) {
        std::uint64_t value = 0;
        const auto length = system_.pread(device(), &value, width, regions_[region].offset + offset);
        if (length != static_cast<ssize_t>(width)) throw_access(region, offset, length < 0 ? errno : 0, "read");
        return value;
    }

    void write_file(unsigned region, std::uint64_t offset, unsigned width, std::uint64_t value) {
        const auto length = system_.pwrite(device(), &value, width, regions_[region].offset + offset);
        if (length != static_cast<ssize_t>(width)) throw_access(region, offset, length < 0 ? errno : 0, "write");
    }

    [[noreturn]] void throw_access(unsigned region, std::uint64_t offset, int error, std::string_view what) const {
        const std::string where =
            region == VFIO_PCI_CONFIG_REGION_INDEX ? "configuration space" : fmt::format("BAR{}", region);
        throw Error{Errc::device_gone, object(), fmt::format("the {} at {:#x} of {} failed", what, offset, where),
                    error, "see that the device is in its slot and its memory space is enabled"};
    }

    void load_region(unsigned region) {
        auto info = vfio::get_region_info(system_, device(), region);
        // A region that the device does not have is told by a size of 0, or by EINVAL.
        if (!info && info.error != EINVAL) fail("VFIO_DEVICE_GET_REGION_INFO", info.error);
        regions_[region] = std::move(info.value);
        if (region >= kBarCount || !regions_[region].is_mappable) return;
        if (regions_[region].has_sparse_areas)
            areas_[region] = regions_[region].areas;
        else
            areas_[region] = {{.offset = 0, .length = regions_[region].size}};
    }

    void load_bar(unsigned bar) {
        const std::uint64_t size = regions_[bar].size;
        if (size == 0) return;
        // Bits of a base address register (PCI Local Bus 3.0, 6.2.5.1).
        const std::uint32_t bits = config_read(static_cast<std::uint16_t>(config::kBar0 + 4 * bar), 4);
        const bool is_io = (bits & 1U) != 0;
        bars_[bar] = {.size = size,
                      .is_64bit = !is_io && (bits >> 1 & 3U) == 2,
                      .is_prefetchable = !is_io && (bits & 8U) != 0,
                      .is_io = is_io};
    }

    /// Kernels that do not say MSIX_MAPPABLE refuse to map what contains the MSI-X table: leaves its pages out.
    void carve_out_msix_table() {
        const auto capability = find_msix();
        if (!capability) return;
        const std::uint32_t entries = (config_read(*capability + 2, 2) & 0x7ffU) + 1;
        const std::uint32_t place = config_read(*capability + 4, 4);
        const unsigned bar = place & 7U;
        if (bar >= kBarCount || regions_[bar].is_msix_mappable || regions_[bar].has_sparse_areas) return;
        const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
        const std::uint64_t first = (place & ~7U) / page * page;
        const std::uint64_t end = ((place & ~7U) + std::uint64_t{entries} * 16 + page - 1) / page * page;
        std::vector<Area> left;
        for (const Area& area : areas_[bar]) {
            const std::uint64_t area_end = area.offset + area.length;
            if (area.offset < first) left.push_back({area.offset, std::min(first, area_end) - area.offset});
            if (area_end > end) {
                const std::uint64_t begin = std::max(end, area.offset);
                left.push_back({begin, area_end - begin});
            }
        }
        areas_[bar] = std::move(left);
    }

    [[nodiscard]] std::optional<std::uint16_t> find_msix() {
        if ((config_read(config::kStatus, 2) & config::kStatusCapabilities) == 0) return std::nullopt;
        std::uint32_t offset = config_read(config::kCapabilityPointer, 1) & 0xfcU;
        for (int steps = 0; steps < 48 && offset >= 0x40; ++steps) {
            const std::uint32_t header = config_read(static_cast<std::uint16_t>(offset), 2);
            if ((header & 0xff) == capability::kMsix) return static_cast<std::uint16_t>(offset);
            offset = header >> 8 & 0xfcU;
        }
        return std::nullopt;
    }

    void map_whole(unsigned bar, Mapping& mapping) {
        const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
        const auto rounded = [page](std::uint64_t length) { return (length + page - 1) / page * page; };
        const std::uint64_t length = rounded(regions_[bar].size);
        void* base = system_.mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base == MAP_FAILED)
            throw Error{Errc::system_error, fmt::format("{} BAR{}", object(), bar),
                        fmt::format("no addresses for {}", bytes_text(length)), errno};
        for (const Area& area : areas_[bar]) {
            void* wanted = static_cast<std::byte*>(base) + area.offset;
            void* at = system_.mmap(wanted, rounded(area.length), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                                    device(), regions_[bar].offset + area.offset);
            if (at == MAP_FAILED) {
                const int error = errno;
                system_.munmap(base, length);
                throw Error{Errc::not_mappable, fmt::format("{} BAR{}", object(), bar),
                            fmt::format("the kernel does not map {:#x} bytes at {:#x}", area.length, area.offset),
                            error};
            }
        }
        // A child of fork() must not come between a device and the process that drives it.
        ::madvise(base, length, MADV_DONTFORK);
        mapping = {base, length};
    }

    /// Puts memory that reads all ones where the device was, so that a window that is still in use sees what a device
    /// that is gone looks like. Stores go to pages that nobody else sees.
    void cover_with_all_ones(Mapping& mapping) noexcept {
        const File ones{system_, ::memfd_create("uiovfio-gone", MFD_CLOEXEC)};
        const std::size_t chunk = std::min(mapping.length, kAllOnesBytes);
        bool usable = ones.get() >= 0 && ::ftruncate(ones.get(), static_cast<off_t>(chunk)) == 0;
        if (usable) {
            void* fill = ::mmap(nullptr, chunk, PROT_READ | PROT_WRITE, MAP_SHARED, ones.get(), 0);
            usable = fill != MAP_FAILED;
            if (usable) {
                std::memset(fill, 0xff, chunk);
                ::munmap(fill, chunk);
            }
        }
        for (std::size_t offset = 0; offset < mapping.length; offset += chunk) {
            void* at = static_cast<std::byte*>(mapping.base) + offset;
            const std::size_t length = std::min(chunk, mapping.length - offset);
            if (usable &&
                system_.mmap(at, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, ones.get(), 0) != MAP_FAILED)
                continue;
            system_.mmap(at, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
        }
    }

    System& system_;
    Files files_;
    bool can_reset_ = false;
    std::array<vfio::RegionInfo, VFIO_PCI_CONFIG_REGION_INDEX + 1> regions_;
    std::array<BarInfo, kBarCount> bars_;
    std::array<std::vector<Area>, kBarCount> areas_;  // what can be mapped
    std::array<unsigned, VFIO_PCI_MSIX_IRQ_INDEX + 1> vectors_{};
    std::vector<IovaRange> ranges_;
    std::uint64_t page_sizes_ = 0;
    std::atomic<std::uint64_t> mapped_bytes_{0};
    std::mutex mapping_mutex_;  // guards mappings_
    std::array<Mapping, kBarCount> mappings_{};
};

}  // namespace

std::shared_ptr<Backend> open_vfio(const Bdf& bdf, const OpenOptions& options, System& system) {
    return std::make_shared<VfioBackend>(bdf, options, system, Opening{bdf, options, system}.run());
}

std::shared_ptr<Backend> open_vfio(const Bdf& bdf, const OpenOptions& options) {
    return open_vfio(bdf, options, real_system());
}

}  // namespace uiovfio::detail

// SPDX-License-Identifier: MIT
#include "uiovfio/sim.hpp"

#include <core.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <condition_variable>
#include <cstring>
#include <latch>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "backend.hpp"
#include "backend_list.hpp"
#include "backends/sim_config.hpp"
#include "backends/traced.hpp"
#include "guarded.hpp"
#include "iova_space.hpp"
#include "text.hpp"
#include "zeroed_memory.hpp"

namespace uiovfio {

namespace detail {

namespace {

constexpr std::uint64_t kPage = 4096;
// As of the device's property `memory-size` in QEMU.
constexpr std::uint64_t kMostMemory = std::uint64_t{4} << 30;

// What x86 keeps out of every IOMMU's aperture: writes there are interrupts.
constexpr std::uint64_t kMessageWindowFirst = 0xfee00000;
constexpr std::uint64_t kMessageWindowLast = 0xfeefffff;

// An entry of the MSI-X table (PCI Local Bus 3.0, 6.8.2).
constexpr unsigned kEntryBytes = 16;
constexpr unsigned kVectorControl = 12;
constexpr std::uint32_t kMasked = 1;

// Of the MSI and MSI-X capabilities.
constexpr std::uint16_t kMessageControl = 2;
constexpr std::uint16_t kMsiEnable = 0x0001;
constexpr std::uint16_t kMsixEnable = 0x8000;
constexpr std::uint16_t kMsixFunctionMask = 0x4000;
constexpr std::uint16_t kMsiMask = SimConfig::kMsi + 16;
constexpr std::uint16_t kMsiPending = SimConfig::kMsi + 20;

void signal(int event_fd) noexcept {
    const std::uint64_t one = 1;
    // A full counter keeps what it has, as the kernel does.
    [[maybe_unused]] const auto written = ::write(event_fd, &one, sizeof one);
}

std::uint64_t load_little_endian(const std::uint8_t* from, unsigned width) noexcept {
    std::uint64_t value = 0;
    std::memcpy(&value, from, width);
    return value;
}

/// Reads host memory; an aligned word is one load, and what is read after it is no older, which is what the core wants
/// for the word that says that a descriptor is the device's. ThreadSanitizer sees the order, too.
void read_as_device(void* to, const std::byte* from, std::size_t length) noexcept {
    if (length == sizeof(std::uint32_t) && reinterpret_cast<std::uintptr_t>(from) % sizeof(std::uint32_t) == 0) {
        const std::uint32_t word = __atomic_load_n(reinterpret_cast<const std::uint32_t*>(from), __ATOMIC_ACQUIRE);
        std::memcpy(to, &word, sizeof word);
    } else {
        std::memcpy(to, from, length);
    }
}

/// Writes host memory; an aligned word is one store that the driver sees after everything before it, which is what the
/// core wants for the word that says that a completion is new.
void write_as_device(std::byte* to, const void* from, std::size_t length) noexcept {
    if (length == sizeof(std::uint32_t) && reinterpret_cast<std::uintptr_t>(to) % sizeof(std::uint32_t) == 0) {
        std::uint32_t word = 0;
        std::memcpy(&word, from, sizeof word);
        __atomic_store_n(reinterpret_cast<std::uint32_t*>(to), word, __ATOMIC_RELEASE);
    } else {
        std::memcpy(to, from, length);
    }
}

/// The machine's memory, as far as it matters: the pages whose addresses somebody has asked for. Not thread-safe.
class SimMemory {
  public:
    std::uint64_t address_of(std::span<std::byte> page) {
        for (const auto& [address, memory] : pages_)
            if (memory.data() == page.data()) return address;
        const std::uint64_t address = next_;
        next_ += (page.size() + kPage - 1) / kPage * kPage;
        pages_.emplace(address, page);
        return address;
    }

    /// From the address to the end of what lies there; empty where nothing does.
    [[nodiscard]] std::span<std::byte> at(std::uint64_t address) const noexcept {
        auto found = pages_.upper_bound(address);
        if (found == pages_.begin()) return {};
        --found;
        const std::uint64_t offset = address - found->first;
        return offset < found->second.size() ? found->second.subspan(offset) : std::span<std::byte>{};
    }

  private:
    std::map<std::uint64_t, std::span<std::byte>> pages_;
    std::uint64_t next_ = std::uint64_t{1} << 32;  // what lies below is left to firmware and devices
};

/// An IOMMU's page table, by mapping. Not thread-safe.
class SimIommu {
  public:
    struct Mapping {
        std::span<std::byte> memory;
        DmaDirection direction;
    };

    void map(std::uint64_t iova, std::span<std::byte> memory, DmaDirection direction) {
        mappings_.emplace(iova, Mapping{memory, direction});
        mapped_ += memory.size();
    }

    /// Bytes unmapped: `length`, or 0 when there is no such mapping.
    std::uint64_t unmap(std::uint64_t iova, std::uint64_t length) noexcept {
        const auto found = mappings_.find(iova);
        if (found == mappings_.end() || found->second.memory.size() != length) return 0;
        mappings_.erase(found);
        mapped_ -= length;
        return length;
    }

    void clear() noexcept {
        mappings_.clear();
        mapped_ = 0;
    }

    [[nodiscard]] std::size_t count() const noexcept { return mappings_.size(); }
    [[nodiscard]] std::uint64_t mapped() const noexcept { return mapped_; }

    /// The memory from `iova` to the end of its mapping; empty when the access is not allowed.
    [[nodiscard]] std::span<std::byte> translate(std::uint64_t iova, bool is_write) const noexcept {
        auto found = mappings_.upper_bound(iova);
        if (found == mappings_.begin()) return {};
        --found;
        const auto& [memory, direction] = found->second;
        const std::uint64_t offset = iova - found->first;
        if (offset >= memory.size() || direction == (is_write ? DmaDirection::to_device : DmaDirection::from_device))
            return {};
        return memory.subspan(offset);
    }

  private:
    std::map<std::uint64_t, Mapping> mappings_;
    std::uint64_t mapped_ = 0;
};

}  // namespace

/// The device, its IOMMU and its interrupt controller. One lock guards all of it, as one big lock guards QEMU's.
class SimBackend final : public Backend, public std::enable_shared_from_this<SimBackend> {
  public:
    explicit SimBackend(const SimOptions& options)
        : Backend{options.bdf},
          options_{options},
          msi_vectors_{std::bit_floor(std::min(options.vectors, PCIENIC_MAX_MSI_VECTORS))},
          pba_offset_{std::max(options.vectors * kEntryBytes, 2048U)},
          msix_bar_size_{std::max<std::uint64_t>(std::bit_ceil(pba_offset_ + (options.vectors + 63) / 64 * 8), kPage)},
          space_{{{Iova{0}, Iova{kMessageWindowFirst - 1}},
                  {Iova{kMessageWindowLast + 1}, Iova{(std::uint64_t{1} << options.address_width) - 1}}},
                 kPage},
          config_{options.vectors, msi_vectors_, msix_bar_size_, pba_offset_, options.memory_size, options.can_reset},
          memory_{options.memory_size, object()},
          table_(std::size_t{options.vectors} * kEntryBytes),
          pending_(options.vectors) {
        pcienic_core_init(&core_, &kOps, this, options.vectors, device_memory(), memory_.bytes().size());
        mask_table();
        worker_ = std::thread{[this] {
            begun_.count_down();
            work();
        }};
        begun_.wait();  // a fork() would copy locks that a thread's start holds, such as a sanitizer's allocator's
    }

    ~SimBackend() override { close(); }

    [[nodiscard]] const BackendTraits& traits() const noexcept override { return traits_of("sim"); }

    [[nodiscard]] std::uint16_t config_size() const noexcept override { return SimConfig::kSize; }

    [[nodiscard]] std::uint32_t config_read(std::uint16_t offset, unsigned width) override {
        const std::lock_guard lock{mutex_};
        return removed_ ? ~0U >> (32 - 8 * width) : config_.read(offset, width);
    }

    void config_write(std::uint16_t offset, unsigned width, std::uint32_t value) override {
        const std::lock_guard lock{mutex_};
        if (removed_) return;
        const bool was_awake = config_.is_in_d0();
        const bool was_master = is_bus_master();
        config_.write(offset, width, value);
        if (config_.starts_reset(offset, width, value)) reset_by_driver();
        const bool is_master_now = !was_master && is_bus_master();
        if (is_master_now) tell_interrupt_mode();
        if (is_master_now || (!was_awake && config_.is_in_d0())) start_work();  // what waited for it
        deliver_pending();
        drive_intx();
    }

    [[nodiscard]] BarInfo bar_info(unsigned bar) const override {
        switch (bar) {
            case PCIENIC_BAR_REGISTERS:
                return {.size = PCIENIC_BAR_REGISTERS_BYTES};
            case PCIENIC_BAR_MSIX:
                return {.size = msix_bar_size_};
            case PCIENIC_BAR_MEMORY:
                return {.size = memory_.bytes().size(), .is_64bit = true, .is_prefetchable = true};
            default:
                return {};
        }
    }

    [[nodiscard]] bool is_mappable(unsigned, std::uint64_t, std::uint64_t) const noexcept override { return false; }

    [[nodiscard]] volatile void* map(unsigned bar, std::uint64_t, std::uint64_t) override {
        throw Error{Errc::not_mappable, fmt::format("{} BAR{}", object(), bar), "the simulated device maps nothing"};
    }

    [[nodiscard]] std::uint64_t region_read(unsigned bar, std::uint64_t offset, unsigned width) override {
        const std::lock_guard lock{mutex_};
        if (!answers()) {
            count_unanswered();
            return ~std::uint64_t{0} >> (64 - 8 * width);
        }
        switch (bar) {
            case PCIENIC_BAR_REGISTERS:
                return pcienic_core_read(&core_, offset, width);
            case PCIENIC_BAR_MSIX:
                return msix_read(offset, width);
            default:
                return load_little_endian(device_memory() + offset, width);
        }
    }

    void region_write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) override {
        const std::lock_guard lock{mutex_};
        if (!answers()) return count_unanswered();
        switch (bar) {
            case PCIENIC_BAR_REGISTERS:
                pcienic_core_write(&core_, offset, value, width);
                break;
            case PCIENIC_BAR_MSIX:
                msix_write(offset, width, value);
                break;
            default:
                std::memcpy(device_memory() + offset, &value, width);
                break;
        }
    }

    [[nodiscard]] unsigned interrupt_capacity(InterruptMode mode) override {
        switch (mode) {
            case InterruptMode::intx:
                return 1;
            case InterruptMode::msi:
                return msi_vectors_;
            case InterruptMode::msix:
                return options_.vectors;
        }
        return 0;
    }

    // What the kernel does: fills the table, unmasks what is used, and turns the capability on.
    void arm(InterruptMode mode, std::span<const int> event_fds) override {
        const std::lock_guard lock{mutex_};
        require_present();
        require_vectors(event_fds.size(), mode);
        armed_ = mode;
        event_fds_.clear();
        connect(0, event_fds);
        if (mode == InterruptMode::msix) {
            config_.set(SimConfig::kMsix + kMessageControl, 2, kMsixEnable | (options_.vectors - 1));
        } else if (mode == InterruptMode::msi) {
            const auto log2 = static_cast<unsigned>(std::countr_zero(std::bit_ceil(event_fds.size())));
            const std::uint32_t control = config_.read(SimConfig::kMsi + kMessageControl, 2) & ~0x70U;
            config_.set(SimConfig::kMsi + kMessageControl, 2, control | kMsiEnable | log2 << 4);
        }
        intx_masked_ = false;
        tell_interrupt_mode();
        deliver_pending();
        drive_intx();
    }

    void arm_some(InterruptMode mode, unsigned first, std::span<const int> event_fds) override {
        const std::lock_guard lock{mutex_};
        require_present();
        if (armed_ != mode || (first + event_fds.size() > event_fds_.size() && !adds_vectors(mode)))
            throw Error{Errc::system_error, object() + " interrupts", "the kernel refuses vectors that are not its"};
        require_vectors(first + event_fds.size(), mode);
        connect(first, event_fds);
        deliver_pending();
    }

    [[nodiscard]] bool adds_vectors(InterruptMode mode) const noexcept override {
        return mode == InterruptMode::msix && options_.adds_vectors;
    }

    void disarm(InterruptMode mode) override {
        const std::lock_guard lock{mutex_};
        if (armed_ != mode) return;
        disarm_locked();
    }

    // Past the device, as the kernel's is.
    void trigger(InterruptMode, unsigned vector) override {
        const std::lock_guard lock{mutex_};
        require_present();
        if (is_connected(vector)) signal(event_fds_[vector]);
    }

    void mask_intx() override {
        const std::lock_guard lock{mutex_};
        require_present();
        intx_masked_ = true;
    }

    void unmask_intx() override {
        const std::lock_guard lock{mutex_};
        require_present();
        intx_masked_ = false;
        drive_intx();
    }

    [[nodiscard]] bool has_event(DeviceEvent) const noexcept override { return true; }

    void arm_event(DeviceEvent event, int event_fd) override {
        const std::lock_guard lock{mutex_};
        event_descriptor(event) = event_fd;
    }

    void trigger_event(DeviceEvent event) override {
        const std::lock_guard lock{mutex_};
        if (const int event_fd = event_descriptor(event); event_fd >= 0) signal(event_fd);
    }

    [[nodiscard]] std::vector<IovaRange> iova_ranges() override { return space_.ranges(); }

    [[nodiscard]] std::vector<ReservedRegion> reserved_regions() override {
        return {{Iova{kMessageWindowFirst}, Iova{kMessageWindowLast}, "msi"}};
    }

    [[nodiscard]] std::uint64_t iova_page_sizes() override { return kPage | 1ULL << 21 | 1ULL << 30; }

    [[nodiscard]] std::optional<std::uint64_t> mappings_left() override {
        const std::lock_guard lock{mutex_};
        return options_.max_mappings - iommu_.count();
    }

    Iova dma_map(std::optional<Iova> wanted, std::span<std::byte> memory, DmaDirection direction) override {
        const std::lock_guard lock{mutex_};
        require_present();
        if (options_.memory_lock_limit && iommu_.mapped() + memory.size() > *options_.memory_lock_limit)
            throw Error{Errc::memory_lock_limit, object() + " DMA",
                        fmt::format("the memory lock limit is {}, {} are mapped and this mapping needs {}",
                                    bytes_text(*options_.memory_lock_limit), bytes_text(iommu_.mapped()),
                                    bytes_text(memory.size()))};
        if (iommu_.count() >= options_.max_mappings)
            throw Error{Errc::mapping_limit, object() + " DMA",
                        fmt::format("all {} mappings are in use", options_.max_mappings)};
        const Iova iova = space_.take(object() + " DMA", wanted, memory);
        iommu_.map(to_integer(iova), memory, direction);
        return iova;
    }

    void dma_unmap(Iova iova, std::uint64_t length) override {
        const std::lock_guard lock{mutex_};
        const std::uint64_t unmapped =
            std::exchange(fail_next_unmap_, false) ? 0 : iommu_.unmap(to_integer(iova), length);
        if (unmapped != length)
            throw Error{Errc::short_unmap, object() + " DMA",
                        fmt::format("{} of {} at {:#x} were unmapped", bytes_text(unmapped), bytes_text(length),
                                    to_integer(iova))};
        space_.give_back(iova, length);
    }

    void dma_unmap_all() noexcept override {
        const std::lock_guard lock{mutex_};
        iommu_.clear();
    }

    [[nodiscard]] bool can_reset() const noexcept override { return options_.can_reset; }
    // What was made for this process is as after a reset; but one that stands for a device without stands for all of
    // it.
    [[nodiscard]] bool was_reset() const noexcept override { return options_.can_reset; }

    void reset() override {
        const std::lock_guard lock{mutex_};
        require_present();
        config_.reset();
        mask_table();
        std::fill(pending_.begin(), pending_.end(), false);
        pcienic_core_reset(&core_, PCIENIC_RESET_FUNCTION_LEVEL);
    }

    void surprise_remove() noexcept {
        const std::lock_guard lock{mutex_};
        removed_ = true;
        work_ = false;
        idle_.notify_all();
        // The kernel notices, and wants the device back.
        if (const int event_fd = event_descriptor(DeviceEvent::removal_request); event_fd >= 0) signal(event_fd);
    }

    [[nodiscard]] std::uint64_t iommu_faults() const noexcept {
        const std::lock_guard lock{mutex_};
        return faults_;
    }

    void fail_next_unmap() noexcept {
        const std::lock_guard lock{mutex_};
        fail_next_unmap_ = true;
    }

    std::uint64_t physical_address(std::span<std::byte> page) {
        const std::lock_guard lock{mutex_};
        return physical_.address_of(page);
    }

    bool settle(std::chrono::nanoseconds patience) noexcept {
        std::unique_lock lock{mutex_};
        return idle_.wait_for(lock, patience, [this] { return !work_ || stop_; });
    }

  protected:
    void do_close() noexcept override {
        {
            const std::lock_guard lock{mutex_};
            if (armed_) disarm_locked();
            iommu_.clear();
            stop_ = true;
        }
        wake_.notify_all();
        idle_.notify_all();
        if (worker_.joinable()) worker_.join();
    }

    // The child has neither the thread nor whoever may hold the lock: this object can no longer be destroyed in it.
    void give_up_to_parent() noexcept override {
        Backend::give_up_to_parent();
        kept_ = weak_from_this().lock();
    }

  private:
    [[nodiscard]] std::uint8_t* device_memory() const noexcept {
        return reinterpret_cast<std::uint8_t*>(memory_.bytes().data());
    }

    static SimBackend& self(void* opaque) noexcept { return *static_cast<SimBackend*>(opaque); }

    static const PcienicOps kOps;

    /// Calls access(memory, bytes done before) for each piece; all pieces must translate before the first is touched.
    template <class AccessMemory>
    PcienicDmaResult dma(std::uint64_t address, std::size_t length, bool is_write, AccessMemory&& access_memory) {
        if (!is_bus_master() || removed_) return PCIENIC_DMA_FAULT;
        if (!options_.translates) return dma_untranslated(address, length, access_memory);
        for (const bool touch : {false, true}) {
            for (std::size_t done = 0; done < length;) {
                const auto memory = iommu_.translate(address + done, is_write);
                if (memory.empty()) {
                    ++faults_;
                    return PCIENIC_DMA_FAULT;
                }
                const std::size_t piece = std::min(memory.size(), length - done);
                if (touch) access_memory(memory.first(piece), done);
                done += piece;
            }
        }
        return PCIENIC_DMA_OK;
    }

    // Where there is no memory, a bus of x86 takes writes and forgets them, and gives all ones; the device is told of
    // no error.
    template <class AccessMemory>
    PcienicDmaResult dma_untranslated(std::uint64_t address, std::size_t length, AccessMemory&& access_memory) {
        std::array<std::byte, 256> nothing;
        for (std::size_t done = 0; done < length;) {
            auto memory = physical_.at(address + done);
            if (memory.empty()) {
                nothing.fill(std::byte{0xff});
                memory = nothing;
            }
            const std::size_t piece = std::min(memory.size(), length - done);
            access_memory(memory.first(piece), done);
            done += piece;
        }
        return PCIENIC_DMA_OK;
    }

    // The device's bottom half.
    void work() {
        std::unique_lock lock{mutex_};
        while (!stop_) {
            wake_.wait(lock, [this] { return work_ || stop_; });
            if (stop_) return;
            work_ = false;
            if (config_.is_in_d0()) pcienic_core_run(&core_);  // what is left waits for the device to be woken
            if (!work_) idle_.notify_all();
            lock.unlock();
            std::this_thread::yield();  // between two budgets, others have their turn
            lock.lock();
        }
    }

    [[nodiscard]] std::uint32_t command() const noexcept { return config_.read(config::kCommand, 2); }
    [[nodiscard]] bool is_bus_master() const noexcept {
        return config_.is_in_d0() && (command() & config::kCommandBusMaster) != 0;
    }
    [[nodiscard]] bool answers() const noexcept {
        return !removed_ && config_.is_in_d0() && (command() & config::kCommandMemory) != 0;
    }

    void start_work() noexcept {
        work_ = true;
        wake_.notify_one();
    }

    /// As through VFIO, whose kernel carries it out, and keeps configuration space and the MSI-X table over it.
    void reset_by_driver() {
        config_.wake();
        std::fill(pending_.begin(), pending_.end(), false);
        pcienic_core_reset(&core_, PCIENIC_RESET_FUNCTION_LEVEL);
        tell_interrupt_mode();
    }
    void require_present() const {
        if (removed_) throw Error{Errc::device_gone, object(), "the device was removed"};
    }

    int& event_descriptor(DeviceEvent event) noexcept { return device_events_[static_cast<std::size_t>(event)]; }

    void require_vectors(std::size_t count, InterruptMode mode) const {
        if (count > options_.kernel_vectors)
            throw FewerVectors{options_.kernel_vectors, object() + " interrupts",
                               fmt::format("{} {} vectors were asked for, the kernel could have {}", count,
                                           to_string(mode), options_.kernel_vectors)};
    }

    /// What the kernel does with the vectors' handlers: an entry of the table is unmasked while it has one.
    void connect(unsigned first, std::span<const int> event_fds) {
        event_fds_.resize(std::max(event_fds_.size(), first + event_fds.size()), -1);
        for (unsigned i = 0; i < event_fds.size(); ++i) {
            const unsigned vector = first + i;
            event_fds_[vector] = event_fds[i];
            if (armed_ != InterruptMode::msix) continue;
            set_entry_word(vector, 0, static_cast<std::uint32_t>(kMessageWindowFirst));
            set_entry_word(vector, 8, vector);
            set_entry_word(vector, kVectorControl, event_fds[i] >= 0 ? 0 : kMasked);
        }
    }

    [[nodiscard]] bool is_connected(unsigned vector) const noexcept {
        return vector < event_fds_.size() && event_fds_[vector] >= 0;
    }

    void disarm_locked() noexcept {
        if (armed_ == InterruptMode::msix) {
            config_.set(SimConfig::kMsix + kMessageControl, 2, options_.vectors - 1);
            mask_table();
        } else if (armed_ == InterruptMode::msi) {
            const std::uint32_t control = config_.read(SimConfig::kMsi + kMessageControl, 2);
            config_.set(SimConfig::kMsi + kMessageControl, 2, control & ~std::uint32_t{kMsiEnable});
        }
        armed_.reset();
        event_fds_.clear();
        if (!removed_) tell_interrupt_mode();
    }

    void tell_interrupt_mode() noexcept {
        if (armed_ == InterruptMode::msix)
            pcienic_core_set_irq_mode(&core_, PCIENIC_IRQ_MSIX, options_.vectors);
        else if (armed_ == InterruptMode::msi)
            pcienic_core_set_irq_mode(&core_, PCIENIC_IRQ_MSI, static_cast<unsigned>(std::bit_ceil(event_fds_.size())));
        else
            pcienic_core_set_irq_mode(&core_, PCIENIC_IRQ_INTX, 1);
    }

    void send_message(unsigned vector) noexcept {
        if (vector == options_.drop_vector || vector >= options_.vectors) return;
        if (is_masked(vector)) {
            pending_[vector] = true;
            show_pending_msi();
        } else if (is_connected(vector)) {
            signal(event_fds_[vector]);
        }
    }

    [[nodiscard]] bool is_masked(unsigned vector) const noexcept {
        if (armed_ == InterruptMode::msix)
            return (entry_word(vector, kVectorControl) & kMasked) != 0 ||
                   (config_.read(SimConfig::kMsix + kMessageControl, 2) & kMsixFunctionMask) != 0;
        // A message without a handler is masked as well: the kernel does that in the capability, which has the bits.
        const bool has_no_handler = vector < event_fds_.size() && event_fds_[vector] < 0;
        return armed_ == InterruptMode::msi && (has_no_handler || (config_.read(kMsiMask, 4) >> vector & 1) != 0);
    }

    void deliver_pending() noexcept {
        if (!armed_ || armed_ == InterruptMode::intx || !is_bus_master()) return;
        for (unsigned vector = 0; vector < options_.vectors; ++vector) {
            if (!pending_[vector] || is_masked(vector)) continue;
            pending_[vector] = false;
            if (is_connected(vector)) signal(event_fds_[vector]);
        }
        show_pending_msi();
    }

    void show_pending_msi() noexcept {
        if (armed_ != InterruptMode::msi) return;
        std::uint32_t bits = 0;
        for (unsigned vector = 0; vector < std::min(msi_vectors_, options_.vectors); ++vector)
            bits |= (pending_[vector] ? 1U : 0U) << vector;
        config_.set(kMsiPending, 4, bits);
    }

    // As vfio-pci does it: a level that is high fires once, and the line is masked until it is unmasked.
    void drive_intx() noexcept {
        if (armed_ != InterruptMode::intx || !intx_level_ || intx_masked_) return;
        if (!config_.is_in_d0() || (command() & config::kCommandIntxDisable) != 0) return;
        intx_masked_ = true;
        if (is_connected(0)) signal(event_fds_.front());
    }

    [[nodiscard]] std::uint32_t entry_word(unsigned vector, unsigned offset) const noexcept {
        return static_cast<std::uint32_t>(load_little_endian(&table_[vector * kEntryBytes + offset], 4));
    }
    void set_entry_word(unsigned vector, unsigned offset, std::uint32_t value) noexcept {
        std::memcpy(&table_[vector * kEntryBytes + offset], &value, sizeof value);
    }
    void mask_table() noexcept {
        std::fill(table_.begin(), table_.end(), std::uint8_t{0});
        for (unsigned vector = 0; vector < options_.vectors; ++vector) set_entry_word(vector, kVectorControl, kMasked);
    }

    [[nodiscard]] std::uint64_t msix_read(std::uint64_t offset, unsigned width) const noexcept {
        if (width < 4) return 0;
        if (offset + width <= table_.size()) return load_little_endian(&table_[offset], width);
        std::uint64_t value = 0;
        for (unsigned bit = 0; bit < 8 * width; ++bit) {
            const std::uint64_t vector = offset < pba_offset_ ? pending_.size() : (offset - pba_offset_) * 8 + bit;
            if (vector < pending_.size() && pending_[vector]) value |= std::uint64_t{1} << bit;
        }
        return value;
    }

    void msix_write(std::uint64_t offset, unsigned width, std::uint64_t value) noexcept {
        if (width < 4 || offset + width > table_.size()) return;  // pending bits are read-only
        std::memcpy(&table_[offset], &value, width);
        deliver_pending();
    }

    const SimOptions options_;
    const unsigned msi_vectors_;
    const std::uint32_t pba_offset_;
    const std::uint64_t msix_bar_size_;
    IovaSpace space_;

    mutable std::mutex mutex_;  // guards what follows
    std::condition_variable wake_;
    std::condition_variable idle_;
    SimConfig config_;
    ZeroedMemory memory_;
    std::vector<std::uint8_t> table_;
    std::vector<bool> pending_;
    PcienicCore core_{};
    SimIommu iommu_;
    SimMemory physical_;
    std::optional<InterruptMode> armed_;
    std::vector<int> event_fds_;  // of the vectors that the kernel holds; -1 without a handler
    std::array<int, 2> device_events_{-1, -1};
    bool intx_level_ = false;
    bool intx_masked_ = false;
    bool removed_ = false;
    bool fail_next_unmap_ = false;
    bool work_ = false;
    bool stop_ = false;
    std::uint64_t faults_ = 0;
    std::latch begun_{1};
    std::thread worker_;
    std::shared_ptr<SimBackend> kept_;  // by itself, in a forked child
};

// The core's surroundings; it calls them with the lock held, because every call into it is made so.
const PcienicOps SimBackend::kOps{
    .dma_read =
        [](void* opaque, std::uint64_t address, void* buffer, std::size_t length) {
            return self(opaque).dma(address, length, false, [&](std::span<std::byte> memory, std::size_t done) {
                read_as_device(static_cast<std::uint8_t*>(buffer) + done, memory.data(), memory.size());
            });
        },
    .dma_write =
        [](void* opaque, std::uint64_t address, const void* buffer, std::size_t length) {
            return self(opaque).dma(address, length, true, [&](std::span<std::byte> memory, std::size_t done) {
                write_as_device(memory.data(), static_cast<const std::uint8_t*>(buffer) + done, memory.size());
            });
        },
    .send_message = [](void* opaque, unsigned vector) { self(opaque).send_message(vector); },
    .set_intx =
        [](void* opaque, bool level) {
            self(opaque).intx_level_ = level;
            self(opaque).drive_intx();
        },
    .schedule = [](void* opaque) { self(opaque).start_work(); },
    .guest_error = [](void*, unsigned, std::uint64_t) {},  // the error latch tells
    .bus_master = [](void* opaque) { return self(opaque).is_bus_master(); },
    .memory_written = nullptr,
    .completed = nullptr,
};

std::shared_ptr<Backend> open_sim(const Bdf& bdf, const OpenOptions& /*options*/) {
    return make_fork_guarded<SimBackend>(SimOptions{.bdf = bdf});
}

}  // namespace detail

Device open_sim(const SimOptions& options) {
    const auto refuse = [](std::string what) {
        throw Error{Errc::invalid_argument, "simulated device", std::move(what)};
    };
    if (options.vectors < 1 || options.vectors > PCIENIC_MAX_VECTORS)
        refuse(fmt::format("{} vectors: there can be 1 to {}", options.vectors, PCIENIC_MAX_VECTORS));
    if (options.memory_size < detail::kPage || !std::has_single_bit(options.memory_size))
        refuse(fmt::format("{} bytes of memory: a power of two from {} is wanted", options.memory_size, detail::kPage));
    if (options.memory_size > detail::kMostMemory)
        refuse(fmt::format("{} of memory: the device has at most {}", detail::bytes_text(options.memory_size),
                           detail::bytes_text(detail::kMostMemory)));
    if (options.address_width != 39 && options.address_width != 48)
        refuse(fmt::format("an address width of {} bits: IOMMUs have 39 or 48", options.address_width));
    auto backend = detail::traced(options.bdf, detail::make_fork_guarded<detail::SimBackend>(options), options.trace);
    return DeviceFactory::make(options.bdf, backend, options.bus_master);
}

Device open_sim(const SimOptions& options, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return open_sim(options); });
}

namespace sim {

namespace {

std::shared_ptr<detail::SimBackend> simulated(const Device& device) noexcept {
    auto backend = DeviceFactory::backend(device);
    while (backend && backend->inner()) backend = backend->inner();  // a traced one is no less simulated
    return std::dynamic_pointer_cast<detail::SimBackend>(backend);
}

}  // namespace

void surprise_remove(const Device& device) noexcept {
    if (const auto backend = simulated(device)) backend->surprise_remove();
}

void request_removal(const Device& device) noexcept {
    if (const auto backend = simulated(device)) backend->trigger_event(DeviceEvent::removal_request);
}

void report_error(const Device& device) noexcept {
    if (const auto backend = simulated(device)) backend->trigger_event(DeviceEvent::error);
}

std::uint64_t iommu_faults(const Device& device) noexcept {
    const auto backend = simulated(device);
    return backend ? backend->iommu_faults() : 0;
}

std::uint64_t physical_address(const Device& device, std::span<std::byte> page) {
    const auto backend = simulated(device);
    return backend ? backend->physical_address(page) : 0;
}

void fail_next_unmap(const Device& device) noexcept {
    if (const auto backend = simulated(device)) backend->fail_next_unmap();
}

bool settle(const Device& device, std::chrono::nanoseconds patience) noexcept {
    const auto backend = simulated(device);
    return !backend || backend->settle(patience);
}

}  // namespace sim

}  // namespace uiovfio

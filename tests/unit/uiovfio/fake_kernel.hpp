// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A model of the kernel's VFIO, as far as the vfio backend talks to it: it insists on the order of the calls as the
/// kernel does, keeps a log, and can be told to fail.

#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "system.hpp"
#include "uiovfio/iova.hpp"

namespace uiovfio::test {

class FakeKernel : public detail::System {
  public:
    // What the machine and the device are.
    int api_version = VFIO_API_VERSION;
    bool has_type1 = true;
    bool has_noiommu = false;
    bool is_viable = true;
    bool can_reset = true;
    bool is_pci = true;
    bool tells_ranges = true;
    bool tells_msix_mappable = true;
    bool has_sparse_registers = false;
    unsigned grows_answers = 0;       ///< so many times an INFO answer has become larger meanwhile
    int most_vectors = 1 << 20;       ///< an arm of more gets this as a positive result
    bool adds_vectors = true;         ///< MSI-X can be grown in place, as on 6.5 and later
    bool is_express = true;           ///< the device has the interrupt index ERR
    std::set<std::string> functions;  ///< of the kernel's, by name
    std::uint64_t lock_limit = kUnlimited;
    std::optional<std::uint64_t> unmaps_only;  ///< bytes that an unmap claims to have removed
    bool can_unmap_all = true;                 ///< kernels from 5.12
    unsigned group_is_busy_for = 0;            ///< so many opens of the group fail with EBUSY

    /// Makes the `skip`th next call of that name (an ioctl's, or "open container") fail.
    void fail(const std::string& call, int error, unsigned skip = 0) { failures_[call] = {error, skip}; }

    /// Out of its slot: configuration space reads all ones. What becomes of its BARs is another matter.
    bool is_removed = false;
    /// As memory space disabled or D3hot: a mapped BAR faults, whatever the command register says.
    void set_answers(bool answers) noexcept {
        does_answer_ = answers;
        const std::lock_guard lock{bar_files_mutex_};
        answer_as_enabled();
    }

    /// What the device does when it raises a vector: nothing unless it is connected. `index` may be ERR and REQ, too.
    void raise(unsigned index, unsigned vector = 0) const {
        const auto& fds = interrupts_[index].event_fds;
        if (vector < fds.size()) signal(fds[vector]);
    }

    /// What a device does that is at work for an earlier program: a write to a bus address that it was told then.
    /// False where it reaches no memory there.
    bool write_by_device(Iova iova) {
        if ((config[4] & 4) == 0 || !addresses_.contains(to_integer(iova))) return false;
        std::memset(reinterpret_cast<void*>(addresses_[to_integer(iova)]), 0x5a, 32);
        return true;
    }

    std::vector<std::string> log;
    /// What VFIO_DEVICE_SET_IRQS was called with: "MSI-X 2: fd fd -" connects vectors 2 and 3 and silences 4, "MSI-X
    /// off" disables, "MSI-X fire 7", "MSI-X fire 1101" (by byte), "INTx mask", "INTx unmask".
    std::vector<std::string> irq_log;
    std::vector<std::byte> last_irq_set;
    std::vector<std::uint8_t> config = make_config();
    std::set<int> open_files;

    static constexpr std::uint64_t kRegionStride = std::uint64_t{1} << 40;

    int open(const char* path, int flags) noexcept override {
        const std::string name{path};
        const bool is_container = name.ends_with("/vfio/vfio");
        const char* call = is_container ? "open container" : "open group";
        log.emplace_back(call);
        if ((flags & O_CLOEXEC) == 0) log.emplace_back("NOT CLOSED ON EXEC");
        if (!is_container && group_is_busy_for > 0) {
            --group_is_busy_for;
            return error(EBUSY);
        }
        if (const int code = failure(call)) return error(code);
        const int descriptor = is_container ? kContainer : kGroup;
        open_files.insert(descriptor);
        return descriptor;
    }

    int close(int descriptor) noexcept override {
        if (descriptor < kContainer) return ::close(descriptor);  // a real one: memory for "all ones"
        log.push_back("close " + name_of(descriptor));
        open_files.erase(descriptor);
        if (descriptor >= kDevice) device_is_mapped_when_closed = mapped_ > 0;
        if (descriptor == kContainer) group_attached_ = iommu_set_ = false;
        return 0;
    }

    int ioctl(int descriptor, unsigned long request, unsigned long argument) noexcept override {
        switch (request) {
            case VFIO_GET_API_VERSION:
                return call("GET_API_VERSION", api_version);
            case VFIO_CHECK_EXTENSION:
                return call("CHECK_EXTENSION", has_iommu(argument) ? 1 : 0);
            case VFIO_SET_IOMMU:
                if (!group_attached_ || iommu_set_) return error(EINVAL);
                iommu_set_ = has_iommu(argument);
                return call("SET_IOMMU", 0);
            case VFIO_DEVICE_RESET:
                return call("RESET", 0);
            default:
                break;
        }
        log.push_back("unknown request on " + name_of(descriptor));
        return error(ENOTTY);
    }

    int ioctl(int /*descriptor*/, unsigned long request, void* argument) noexcept override {
        switch (request) {
            case VFIO_GROUP_GET_STATUS:
                return group_status(static_cast<vfio_group_status*>(argument));
            case VFIO_GROUP_SET_CONTAINER: {
                const int result = call("SET_CONTAINER", *static_cast<int*>(argument) == kContainer ? 0 : -1);
                group_attached_ = result == 0;
                return result;
            }
            case VFIO_GROUP_GET_DEVICE_FD: {
                if (!iommu_set_) return error(EINVAL);
                device_name = static_cast<const char*>(argument);
                const int result = call("GET_DEVICE_FD", kDevice + devices_opened_);
                if (result < 0) return result;
                clear_bus_master();
                ++devices_opened_;
                open_files.insert(result);
                return result;
            }
            case VFIO_DEVICE_GET_INFO:
                return device_info(static_cast<vfio_device_info*>(argument));
            case VFIO_DEVICE_GET_REGION_INFO:
                return region_info(static_cast<vfio_region_info*>(argument));
            case VFIO_DEVICE_GET_IRQ_INFO:
                return irq_info(static_cast<vfio_irq_info*>(argument));
            case VFIO_DEVICE_SET_IRQS:
                return set_irqs(static_cast<vfio_irq_set*>(argument));
            case VFIO_IOMMU_GET_INFO:
                return iommu_info(static_cast<vfio_iommu_type1_info*>(argument));
            case VFIO_IOMMU_MAP_DMA:
                return map_dma(*static_cast<vfio_iommu_type1_dma_map*>(argument));
            case VFIO_IOMMU_UNMAP_DMA:
                return unmap_dma(*static_cast<vfio_iommu_type1_dma_unmap*>(argument));
            default:
                return error(ENOTTY);
        }
    }

    ssize_t pread(int descriptor, void* buffer, std::size_t length, std::uint64_t offset) noexcept override {
        if (const int code = failure("pread")) return error(code);
        if (descriptor < kDevice) return error(EBADF);
        const auto region = static_cast<unsigned>(offset / kRegionStride);
        const std::uint64_t at = offset % kRegionStride;
        if (region == VFIO_PCI_CONFIG_REGION_INDEX) {
            if (is_removed)
                std::memset(buffer, 0xff, length);
            else
                std::memcpy(buffer, &config[at], length);
        } else {
            log.push_back("pread BAR" + std::to_string(region) + "+" + std::to_string(at));
            std::memset(buffer, 0x42, length);
        }
        return static_cast<ssize_t>(length);
    }

    ssize_t pwrite(int descriptor, const void* buffer, std::size_t length, std::uint64_t offset) noexcept override {
        if (const int code = failure("pwrite")) return error(code);
        if (descriptor < kDevice) return error(EBADF);
        const auto region = static_cast<unsigned>(offset / kRegionStride);
        if (region == VFIO_PCI_CONFIG_REGION_INDEX) {
            const std::lock_guard lock{bar_files_mutex_};
            std::memcpy(&config[offset % kRegionStride], buffer, length);
            answer_as_enabled();
        } else
            log.push_back("pwrite BAR" + std::to_string(region));
        return static_cast<ssize_t>(length);
    }

    void* mmap(void* address, std::size_t length, int protection, int flags, int descriptor,
               std::uint64_t offset) noexcept override {
        if (descriptor >= kDevice) {
            log.push_back("mmap BAR" + std::to_string(offset / kRegionStride) + "+" +
                          std::to_string(offset % kRegionStride) + " length " + std::to_string(length));
            if (const int code = failure("mmap")) {
                errno = code;
                return MAP_FAILED;
            }
            ++mapped_;
            const auto bar = static_cast<unsigned>(offset / kRegionStride);
            return map_unseen(address, length, protection, flags, bar_file(bar), offset % kRegionStride);
        }
        if (descriptor >= 0 || (flags & MAP_FIXED) != 0) mapped_ = 0;  // covers what was mapped
        return map_unseen(address, length, protection, flags, descriptor, offset);
    }

    int munmap(void* address, std::size_t length) noexcept override { return ::munmap(address, length); }
    std::uint64_t memory_lock_limit() noexcept override { return lock_limit; }
    void sleep_milliseconds(unsigned milliseconds) noexcept override { slept += milliseconds; }
    bool has_kernel_function(std::string_view name) noexcept override { return functions.contains(std::string{name}); }

    std::string device_name;
    unsigned slept = 0;
    bool device_is_mapped_when_closed = false;
    std::map<std::uint64_t, std::uint64_t> mappings;
    bool was_bus_master_when_unmapped = false;  ///< at any unmap
    bool was_freed_before_unmapped = false;     ///< memory that was still mapped for the device
    std::uint32_t last_map_flags = 0;

    ~FakeKernel() override {
        for (const int file : bar_files_)
            if (file >= 0) ::close(file);
    }

  protected:
    // The system call itself. ThreadSanitizer takes an mmap() for a store to all of the memory, and so for a race with
    // every access to a BAR that is put back while others use it.
    static void* map_unseen(void* address, std::size_t length, int protection, int flags, int descriptor,
                            std::uint64_t offset) noexcept {
        return reinterpret_cast<void*>(::syscall(SYS_mmap, address, length, protection, flags, descriptor, offset));
    }

    // A BAR is a file in memory, which ends before its first byte while the device does not answer: so it faults as a
    // BAR does.
    int bar_file(unsigned bar) noexcept {
        const std::lock_guard lock{bar_files_mutex_};
        int& file = bar_files_[bar];
        if (file < 0) file = ::memfd_create("fake-bar", MFD_CLOEXEC);
        answer_as_enabled();
        return file;
    }

    void answer_as_enabled() noexcept {
        const bool answers = does_answer_ && !is_removed && (config[4] & 2) != 0;
        for (const int file : bar_files_)
            if (file >= 0 && ::ftruncate(file, answers ? kBarFileBytes : 0) != 0) std::abort();
    }

    static constexpr off_t kBarFileBytes = 0x100000;
    std::array<int, 6> bar_files_{-1, -1, -1, -1, -1, -1};
    std::atomic<bool> does_answer_{true};
    std::mutex bar_files_mutex_;

    static constexpr int kContainer = 100000;
    static constexpr int kGroup = 100001;
    static constexpr int kDevice = 100002;  // and from there on: all devices look alike

    [[nodiscard]] bool has_iommu(unsigned long type) const noexcept {
        return (type == VFIO_TYPE1v2_IOMMU && has_type1) || (type == VFIO_NOIOMMU_IOMMU && has_noiommu);
    }

    static std::string name_of(int descriptor) {
        return descriptor == kContainer ? "container" : descriptor == kGroup ? "group" : "device";
    }

    static int error(int code) noexcept {
        errno = code;
        return -1;
    }

    /// The errno with which this call is to fail, or 0.
    int failure(const std::string& call) {
        const auto found = failures_.find(call);
        if (found == failures_.end()) return 0;
        if (found->second.second-- > 0) return 0;
        const int code = found->second.first;
        failures_.erase(found);
        return code;
    }

    int call(const std::string& name, int result) {
        log.push_back(name);
        if (const int code = failure(name)) return error(code);
        return result;
    }

    int group_status(vfio_group_status* status) {
        if (status->argsz != sizeof *status) return error(EINVAL);
        status->flags = is_viable ? VFIO_GROUP_FLAGS_VIABLE : 0;
        return call("GET_STATUS", 0);
    }

    // vfio_pci_core_enable() does that first.
    void clear_bus_master() { config[4] &= 0xfb; }

    int device_info(vfio_device_info* info) {
        info->flags = (is_pci ? VFIO_DEVICE_FLAGS_PCI : 0U) | (can_reset ? VFIO_DEVICE_FLAGS_RESET : 0U);
        info->num_regions = VFIO_PCI_NUM_REGIONS;
        info->num_irqs = VFIO_PCI_NUM_IRQS;
        return call("GET_INFO", 0);
    }

    /// Writes `head` and what follows it as far as argsz has room, and says how much it would have been.
    template <class Head>
    void answer(Head* out, Head head, std::vector<std::byte> chain) {
        if (grows_answers > 0) {
            --grows_answers;
            grown_ += 64;
        }
        const std::size_t needed = sizeof(Head) + chain.size() + grown_;
        const std::uint32_t room = out->argsz;
        head.argsz = static_cast<std::uint32_t>(std::max<std::size_t>(needed, sizeof(Head)));
        if (!chain.empty()) head.cap_offset = room >= needed ? static_cast<std::uint32_t>(sizeof(Head)) : 0;
        std::memcpy(out, &head, sizeof head);
        if (!chain.empty() && room >= needed)
            std::memcpy(reinterpret_cast<std::byte*>(out) + sizeof head, chain.data(), chain.size());
    }

    template <class T>
    static void append(std::vector<std::byte>& bytes, const T& value) {
        const auto* from = reinterpret_cast<const std::byte*>(&value);
        bytes.insert(bytes.end(), from, from + sizeof value);
    }

    int region_info(vfio_region_info* info) {
        const std::map<unsigned, std::uint64_t> sizes{
            {0, 0x10000}, {2, 0x4000}, {4, 0x100000}, {VFIO_PCI_CONFIG_REGION_INDEX, 4096}};
        vfio_region_info head = *info;
        const auto size = sizes.find(info->index);
        if (size == sizes.end()) {
            head.size = 0;
            head.flags = 0;
            answer(info, head, {});
            return call("GET_REGION_INFO", info->index == 1 ? error(EINVAL) : 0);
        }
        head.size = size->second;
        head.offset = info->index * kRegionStride;
        head.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
        if (info->index < 6) head.flags |= VFIO_REGION_INFO_FLAG_MMAP;
        std::vector<std::byte> chain;
        if (info->index == 2 && tells_msix_mappable)
            append(chain, vfio_info_cap_header{VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 1, 0});
        if (info->index == 0 && has_sparse_registers) {
            vfio_region_info_cap_sparse_mmap sparse{};
            sparse.header = {VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, 0};
            sparse.nr_areas = 2;
            append(chain, sparse);
            append(chain, vfio_region_sparse_mmap_area{0x1000, 0x2000});
            append(chain, vfio_region_sparse_mmap_area{0x8000, 0x8000});
        }
        if (!chain.empty()) head.flags |= VFIO_REGION_INFO_FLAG_CAPS;
        answer(info, head, std::move(chain));
        return call("GET_REGION_INFO", 0);
    }

    int irq_info(vfio_irq_info* info) {
        if (info->index == VFIO_PCI_ERR_IRQ_INDEX && !is_express) return error(EINVAL);
        info->flags = VFIO_IRQ_INFO_EVENTFD;
        if (info->index == VFIO_PCI_INTX_IRQ_INDEX)
            info->flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
        else if (info->index != VFIO_PCI_MSIX_IRQ_INDEX || !adds_vectors)
            info->flags |= VFIO_IRQ_INFO_NORESIZE;
        info->count = kVectors.at(info->index);
        return call("GET_IRQ_INFO", 0);
    }

    static void signal(int event_fd) noexcept {
        const std::uint64_t one = 1;
        if (event_fd >= 0) [[maybe_unused]]
            const auto written = ::write(event_fd, &one, sizeof one);
    }

    // What is in the request, as irq_log has it.
    static std::string text_of(const vfio_irq_set& set, const std::vector<int>& fds, const std::string& fire) {
        const std::string name = kIndexNames.at(set.index);
        if ((set.flags & VFIO_IRQ_SET_ACTION_MASK) != 0) return name + " mask";
        if ((set.flags & VFIO_IRQ_SET_ACTION_UNMASK) != 0) return name + " unmask";
        if ((set.flags & VFIO_IRQ_SET_DATA_BOOL) != 0) return name + " fire " + fire;
        if ((set.flags & VFIO_IRQ_SET_DATA_NONE) != 0)
            return set.count == 0 ? name + " off" : name + " fire " + std::to_string(set.start);
        std::string text = name + " " + std::to_string(set.start) + ":";
        for (const int fd : fds) text += fd >= 0 ? " fd" : " -";
        return text;
    }

    int set_irqs(vfio_irq_set* set) {
        const auto* bytes = reinterpret_cast<const std::byte*>(set);
        std::vector<int> fds;
        std::string fire;
        if ((set->flags & VFIO_IRQ_SET_DATA_EVENTFD) != 0) {
            fds.resize(set->count);
            std::memcpy(fds.data(), set->data, fds.size() * sizeof(int));
        }
        if ((set->flags & VFIO_IRQ_SET_DATA_BOOL) != 0)
            for (unsigned i = 0; i < set->count; ++i) fire += set->data[i] != 0 ? '1' : '0';
        irq_log.push_back(text_of(*set, fds, fire));
        if (set->start >= kVectors.at(set->index) || set->start + set->count > kVectors.at(set->index))
            return error(EINVAL);
        if (set->index >= VFIO_PCI_ERR_IRQ_INDEX) {
            const int result = call("SET_IRQS " + kIndexNames.at(set->index), 0);
            if (result == 0 && !fds.empty()) interrupts_[set->index].event_fds = fds;
            if (result == 0 && fds.empty()) raise(set->index);
            return result;
        }
        last_irq_set.assign(bytes, bytes + set->argsz);
        if (const int result = call("SET_IRQS", 0); result != 0) return result;
        if (!fds.empty()) return arm(set->index, set->start, fds);
        if ((set->flags & VFIO_IRQ_SET_ACTION_TRIGGER) == 0) return 0;
        auto& armed = interrupts_[set->index].event_fds;
        if (armed.empty() || set->start + set->count > armed.size()) return error(EINVAL);
        if (set->count == 0) armed.clear();
        for (unsigned i = 0; i < set->count; ++i)
            if (fire.empty() || fire[i] == '1') raise(set->index, set->start + i);
        return 0;
    }

    // As vfio_pci_set_msi_trigger() does it.
    int arm(unsigned index, unsigned start, const std::vector<int>& fds) {
        for (unsigned other = 0; other < VFIO_PCI_ERR_IRQ_INDEX; ++other)
            if (other != index && !interrupts_[other].event_fds.empty()) return error(EINVAL);
        auto& armed = interrupts_[index].event_fds;
        const std::size_t end = start + fds.size();
        const bool is_first = armed.empty();
        if (end > armed.size()) {
            if (!is_first && (index != VFIO_PCI_MSIX_IRQ_INDEX || !adds_vectors)) return error(EINVAL);
            if (static_cast<int>(end) > most_vectors) return is_first ? most_vectors : error(ENOSPC);
            armed.resize(end, -1);
        }
        std::copy(fds.begin(), fds.end(), armed.begin() + start);
        return 0;
    }

    int iommu_info(vfio_iommu_type1_info* info) {
        vfio_iommu_type1_info head = *info;
        head.flags = VFIO_IOMMU_INFO_PGSIZES;
        head.iova_pgsizes = 0x40201000;
        std::vector<std::byte> chain;
        if (tells_ranges) {
            head.flags |= VFIO_IOMMU_INFO_CAPS;
            constexpr std::uint32_t kRangesBytes =
                sizeof(vfio_iommu_type1_info_cap_iova_range) + 2 * sizeof(vfio_iova_range);
            vfio_iommu_type1_info_cap_iova_range ranges{};
            ranges.header = {VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1,
                             static_cast<std::uint32_t>(sizeof head) + kRangesBytes};
            ranges.nr_iovas = 2;
            append(chain, ranges);
            append(chain, vfio_iova_range{0, 0xfedfffff});
            append(chain, vfio_iova_range{0xfef00000, 0x7fffffffff});
            vfio_iommu_type1_info_dma_avail available{};
            available.header = {VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1, 0};
            available.avail = static_cast<std::uint32_t>(65535 - mappings.size());
            append(chain, available);
        }
        answer(info, head, std::move(chain));
        return call("IOMMU_GET_INFO", 0);
    }

    int map_dma(const vfio_iommu_type1_dma_map& map) {
        last_map_flags = map.flags;
        const int result = call("MAP_DMA", 0);
        if (result == 0) {
            mappings[map.iova] = map.size;
            addresses_[map.iova] = map.vaddr;
        }
        return result;
    }

    int unmap_dma(vfio_iommu_type1_dma_unmap& unmap) {
        const bool all = (unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL) != 0;
        // The flags of a map are none of an unmap's, and with "all" there is no range.
        if ((unmap.flags & ~std::uint32_t{VFIO_DMA_UNMAP_FLAG_ALL}) != 0 || (all && !can_unmap_all))
            return error(EINVAL);
        if (all && (unmap.iova != 0 || unmap.size != 0)) return error(EINVAL);
        const int result = call(all ? "UNMAP_DMA ALL" : "UNMAP_DMA", 0);
        if (result != 0) return result;
        was_bus_master_when_unmapped |= (config[4] & 4) != 0;
        unmap.size = 0;
        for (auto mapping = mappings.begin(); mapping != mappings.end();) {
            if (!all && mapping->first != unmap.iova) {
                ++mapping;
                continue;
            }
            see_that_memory_is_there(addresses_[mapping->first]);
            unmap.size += mapping->second;
            mapping = mappings.erase(mapping);
        }
        if (unmaps_only) unmap.size = *unmaps_only;
        return 0;
    }

    void see_that_memory_is_there(std::uint64_t address) {
        unsigned char resident = 0;
        if (::mincore(reinterpret_cast<void*>(address), 1, &resident) != 0) was_freed_before_unmapped = true;
    }

    /// A header with one capability: MSI-X of 16 vectors, its table in the second page of BAR2.
    static std::vector<std::uint8_t> make_config() {
        std::vector<std::uint8_t> bytes(4096);
        const auto put = [&](std::size_t at, std::uint32_t value, unsigned width) {
            for (unsigned i = 0; i < width; ++i) bytes[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
        };
        put(0x00, 0x10f21af4, 4);
        put(0x06, 0x0010, 2);
        put(0x10, 0xfe800000, 4);
        put(0x18, 0xfe810000, 4);
        put(0x20, 0x0000000c, 4);
        put(0x34, 0x40, 1);
        put(0x40, 0x11, 1);
        put(0x42, 15, 2);
        put(0x44, 0x1002, 4);
        put(0x48, 0x2002, 4);
        return bytes;
    }

    static inline const std::vector<unsigned> kVectors{1, 4, 16, 1, 1};
    static inline const std::vector<std::string> kIndexNames{"INTx", "MSI", "MSI-X", "ERR", "REQ"};

    struct Interrupt {
        std::vector<int> event_fds;  // of the vectors that are enabled; -1 without a handler
    };
    std::array<Interrupt, VFIO_PCI_NUM_IRQS> interrupts_;
    std::map<std::string, std::pair<int, unsigned>> failures_;
    std::map<std::uint64_t, std::uint64_t> addresses_;  // of the memory, by bus address
    std::size_t grown_ = 0;
    bool group_attached_ = false;
    bool iommu_set_ = false;
    int devices_opened_ = 0;
    int mapped_ = 0;
};

}  // namespace uiovfio::test

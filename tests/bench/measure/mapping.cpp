// SPDX-License-Identifier: MIT
//
// Memory mapped for the device's DMA and unmapped again, by size, page size and backend.
#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <span>
#include <system_error>

#include "measure/contest.hpp"
#include "measure/plan.hpp"
#include "report/text.hpp"

namespace pcienic::bench {
namespace {

constexpr unsigned kRounds = 100;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::array<std::size_t, 5> kSizes{4096, 65536, kHugePage, 16U << 20, 64U << 20};

/// Memory that is there: every page was touched, so that mapping it for the device finds it.
class Pages {
  public:
    Pages(std::size_t size, bool huge) : size_{size} {
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (huge ? MAP_HUGETLB | (21 << MAP_HUGE_SHIFT) : 0);
        memory_ = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (memory_ == MAP_FAILED) throw std::system_error{errno, std::generic_category(), "mmap"};
        // Else the kernel might give 2 MiB pages on its own account.
        if (!huge) ::madvise(memory_, size, MADV_NOHUGEPAGE);
        for (std::size_t offset = 0; offset < size; offset += 4096) static_cast<volatile char*>(memory_)[offset] = 1;
    }
    ~Pages() { ::munmap(memory_, size_); }
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;

    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {static_cast<std::byte*>(memory_), size_}; }

  private:
    void* memory_;
    std::size_t size_;
};

struct Way {
    std::string name;
    uiovfio::Device* device;
    bool huge;
};

class Mapping {
  public:
    explicit Mapping(const Plan& plan)
        : first_{uiovfio::Device::open(plan.device, {.backend = plan.backend == "auto" ? "vfio" : plan.backend})} {
        devices_.emplace_back(&first_, first_.backend());
        if (first_.backend() != "iommufd") open_iommufd(plan);
    }

    std::vector<Group> measure(const Plan& plan) {
        for (const std::size_t size : kSizes)
            for (const bool huge : {false, true})
                if (!huge || size >= kHugePage) enter(size, huge);
        map_.run(plan.rounds(kRounds));
        return {map_.group(), unmap_.group()};
    }

  private:
    /// One device cannot be open in two ways, so that the other way gets the other device.
    void open_iommufd(const Plan& plan) {
        try {
            if (!plan.second) return skip("iommufd", "it needs a second device");
            second_ = uiovfio::Device::open(*plan.second, {.backend = "iommufd"});
            devices_.emplace_back(&second_, "iommufd");
        } catch (const uiovfio::Error& error) {
            skip("iommufd", error.what());
        }
    }

    void enter(std::size_t size, bool huge) {
        const auto name = [](std::string_view backend, bool huge_pages) {
            return fmt::format("{}, {} pages", backend, huge_pages ? "2 MiB" : "4 KiB");
        };
        std::shared_ptr<Pages> pages;
        try {
            pages = std::make_shared<Pages>(size, huge);
        } catch (const std::system_error& error) {
            return skip(fmt::format("{}, 2 MiB pages", format_size(size)), error.what());
        }
        for (const auto& [device, backend] : devices_) {
            const bool is_baseline = device == &first_ && !huge;
            const Entry entry{.name = name(backend, huge),
                              .parameter = format_size(size),
                              .baseline = is_baseline ? "" : name(first_.backend(), false)};
            Recorder& unmap = unmap_.enter(entry);
            map_.enter(entry,
                       [this, &unmap, pages, device = device](Recorder& map) { round(*device, *pages, map, unmap); });
        }
    }

    static void round(uiovfio::Device& device, const Pages& pages, Recorder& map, Recorder& unmap) {
        uiovfio::DmaMapping mapping;
        map.time(1, [&] { mapping = device.dma().map(pages.bytes()); });
        unmap.time(1, [&] { mapping.unmap(); });
    }

    void skip(const std::string& name, const std::string& reason) {
        map_.skip(name, reason);
        unmap_.skip(name, reason);
    }

    uiovfio::Device first_;
    uiovfio::Device second_;
    std::vector<std::pair<uiovfio::Device*, std::string_view>> devices_;
    Contest map_{"mapping.map", "Mapping memory for DMA", "DmaSpace::map of memory whose pages are there"};
    Contest unmap_{"mapping.unmap", "Ending a mapping", "DmaMapping::unmap"};
};

}  // namespace

std::vector<Group> measure_mapping(const Plan& plan) { return Mapping{plan}.measure(plan); }

}  // namespace pcienic::bench

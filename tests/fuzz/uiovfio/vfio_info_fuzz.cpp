// SPDX-License-Identifier: MIT
// What the kernel answers to VFIO's questions, with its chain of capabilities: whatever offsets, counts and sizes it
// names, nothing beyond the answer is read, and a chain that loops ends.
#include <linux/vfio.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <set>
#include <span>

#include "fake_kernel.hpp"
#include "vfio_calls.hpp"

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

/// Answers every question with the same bytes, as many as the asker has room for.
class HostileKernel : public uiovfio::test::FakeKernel {
  public:
    explicit HostileKernel(std::span<const std::uint8_t> answer) : answer_{answer} {}

    using FakeKernel::ioctl;
    int ioctl(int, unsigned long, void* argument) noexcept override {
        std::uint32_t room = 0;
        std::memcpy(&room, argument, sizeof room);
        std::memcpy(argument, answer_.data(), std::min<std::size_t>(room, answer_.size()));
        return 0;
    }

  private:
    std::span<const std::uint8_t> answer_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    namespace vfio = uiovfio::detail::vfio;
    if (size < sizeof(std::uint32_t)) return 0;
    std::uint32_t first = 0;
    std::memcpy(&first, data, sizeof first);
    const auto bytes = std::as_bytes(std::span{data, size});
    const auto chain = vfio::capability_chain(bytes, first);
    std::set<const std::byte*> places;
    for (const vfio::ChainEntry& entry : chain) {
        check(entry.bytes.data() >= bytes.data() && entry.bytes.size() >= sizeof(vfio_info_cap_header));
        check(entry.bytes.data() + entry.bytes.size() == bytes.data() + bytes.size());
        check(places.insert(entry.bytes.data()).second);
    }

    HostileKernel kernel{{data, size}};
    if (const auto info = vfio::get_iommu_info(kernel, 0)) {
        for (const auto& range : info.value.ranges) check(range.first <= range.last);
        check(info.value.page_sizes != 0);
    }
    if (const auto info = vfio::get_region_info(kernel, 0, 2)) {
        for (const auto& area : info.value.areas) check(area.length != 0);
    }
    (void)vfio::get_device_info(kernel, 0);
    (void)vfio::get_interrupt_info(kernel, 0, 2);
    return 0;
}

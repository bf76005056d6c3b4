// SPDX-License-Identifier: MIT
/// What the program sees of an access that the checks of uiovfio/checked.hpp would stop: the other sources have them.
#undef UIOVFIO_CHECKED
#include "conformance.hpp"

namespace uiovfio::conformance {

TEST_F(ConformanceBars, AnswerWithAllOnesBeyondAWindow) {
    const auto part = device.bar(pcienic::kBarMemory).window(0, 0x1000);
    EXPECT_EQ(part.load<std::uint32_t>(0x1000), 0xffffffffu);
    EXPECT_EQ(part.load<std::uint64_t>(0xffc), ~std::uint64_t{0});
    const auto before = device.bar(pcienic::kBarMemory).read<std::uint32_t>(0x1000);
    part.store<std::uint32_t>(0x1000, ~before);
    EXPECT_EQ(device.bar(pcienic::kBarMemory).read<std::uint32_t>(0x1000), before);
}

}  // namespace uiovfio::conformance

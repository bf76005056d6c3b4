// SPDX-License-Identifier: MIT
#include "vfio_calls.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/vfio.h>

#include <array>
#include <cstring>
#include <random>

#include "fake_kernel.hpp"

namespace uiovfio::detail::vfio {

namespace {

using testing::ElementsAre;

/// The request as 32-bit words: argsz, flags, index, start, count, data.
std::vector<std::uint32_t> words(const std::vector<std::byte>& bytes) {
    EXPECT_EQ(bytes.size() % 4, 0u);
    std::vector<std::uint32_t> result(bytes.size() / 4);
    std::memcpy(result.data(), bytes.data(), result.size() * 4);
    return result;
}

struct Header {
    std::uint16_t id;
    std::uint16_t version;
    std::uint32_t next;
};

std::vector<std::byte> answer_with(std::size_t size, const std::map<std::uint32_t, Header>& headers) {
    std::vector<std::byte> bytes(size);
    for (const auto& [offset, header] : headers) std::memcpy(bytes.data() + offset, &header, sizeof header);
    return bytes;
}

std::vector<unsigned> ids(const std::vector<std::byte>& answer, std::uint32_t first) {
    std::vector<unsigned> found;
    for (const ChainEntry& entry : capability_chain(answer, first)) found.push_back(entry.id);
    return found;
}

}  // namespace

// The numbers are those of the kernel's interface, which never change.
TEST(SetIrqsBytes, ArmGivesEachVectorItsEventfd) {
    EXPECT_THAT(words(bytes_to_arm(VFIO_PCI_MSIX_IRQ_INDEX, 0, std::array{7, 9, 11})),
                ElementsAre(32, 0x24, 2, 0, 3, 7, 9, 11));
    EXPECT_THAT(words(bytes_to_arm(VFIO_PCI_INTX_IRQ_INDEX, 0, std::array{5})), ElementsAre(24, 0x24, 0, 0, 1, 5));
}

// With any other count, the kernel would fire the vectors instead.
TEST(SetIrqsBytes, DisarmHasNoDataAndACountOfZero) {
    EXPECT_THAT(words(bytes_to_disarm(VFIO_PCI_MSI_IRQ_INDEX)), ElementsAre(20, 0x21, 1, 0, 0));
    EXPECT_THAT(words(bytes_to_disarm(VFIO_PCI_INTX_IRQ_INDEX)), ElementsAre(20, 0x21, 0, 0, 0));
}

TEST(SetIrqsBytes, TriggerNamesOneVector) {
    EXPECT_THAT(words(bytes_to_trigger(VFIO_PCI_MSIX_IRQ_INDEX, 31)), ElementsAre(20, 0x21, 2, 31, 1));
}

TEST(SetIrqsBytes, ArmBeginsAtAnyVectorAndSilencesWithMinusOne) {
    EXPECT_THAT(words(bytes_to_arm(VFIO_PCI_MSIX_IRQ_INDEX, 6, std::array{7, -1})),
                ElementsAre(28, 0x24, 2, 6, 2, 7, 0xffffffff));
    EXPECT_THAT(words(bytes_to_arm(VFIO_PCI_REQ_IRQ_INDEX, 0, std::array{5})), ElementsAre(24, 0x24, 4, 0, 1, 5));
}

TEST(SetIrqsBytes, TriggerOfSeveralHasAByteForEach) {
    const std::array<std::uint8_t, 4> fire{1, 0, 0, 1};
    EXPECT_THAT(words(bytes_to_trigger_some(VFIO_PCI_MSIX_IRQ_INDEX, fire)),
                ElementsAre(24, 0x22, 2, 0, 4, 0x01000001));
}

TEST(SetIrqsBytes, MaskAndUnmaskAreForTheOneLine) {
    EXPECT_THAT(words(bytes_to_mask(VFIO_PCI_INTX_IRQ_INDEX)), ElementsAre(20, 0x09, 0, 0, 1));
    EXPECT_THAT(words(bytes_to_unmask(VFIO_PCI_INTX_IRQ_INDEX)), ElementsAre(20, 0x11, 0, 0, 1));
}

TEST(SetIrqsBytes, CoverAllVectorsThatThereCanBe) {
    const std::vector<int> many(2048, 3);
    const auto request = words(bytes_to_arm(VFIO_PCI_MSIX_IRQ_INDEX, 0, many));
    EXPECT_EQ(request.size(), 5u + 2048);
    EXPECT_EQ(request[0], 20u + 4 * 2048);
    EXPECT_EQ(request[4], 2048u);
}

TEST(CapabilityChain, IsWalkedInItsOrder) {
    EXPECT_THAT(ids(answer_with(64, {{16, {3, 1, 40}}, {40, {1, 1, 24}}, {24, {2, 1, 0}}}), 16), ElementsAre(3, 1, 2));
    EXPECT_THAT(ids(answer_with(64, {}), 0), ElementsAre());
}

TEST(CapabilityChain, EndsWhereItLoops) {
    EXPECT_THAT(ids(answer_with(64, {{16, {3, 1, 24}}, {24, {1, 1, 16}}}), 16), ElementsAre(3, 1));
    EXPECT_THAT(ids(answer_with(64, {{16, {3, 1, 16}}}), 16), ElementsAre(3));
}

TEST(CapabilityChain, EndsWhereItLeavesTheAnswer) {
    EXPECT_THAT(ids(answer_with(64, {{16, {3, 1, 60}}}), 16), ElementsAre(3));
    EXPECT_THAT(ids(answer_with(64, {{16, {3, 1, 0xfffffff8}}}), 16), ElementsAre(3));
    EXPECT_THAT(ids(answer_with(64, {}), 64), ElementsAre());
    EXPECT_THAT(ids(answer_with(4, {}), 1), ElementsAre());
}

TEST(CapabilityChain, SurvivesAnyBytes) {
    std::mt19937 random{1};
    for (int round = 0; round < 20000; ++round) {
        std::vector<std::byte> bytes(random() % 80);
        // Small offsets more often than not, so that chains come about.
        for (auto& byte : bytes) byte = static_cast<std::byte>(random() % 4 == 0 ? random() % 80 : 0);
        const auto chain = capability_chain(bytes, static_cast<std::uint32_t>(random() % 100));
        EXPECT_LE(chain.size(), 80u);
    }
}

class VfioCalls : public testing::Test {
  protected:
    test::FakeKernel kernel;
};

TEST_F(VfioCalls, AskAgainUntilTheAnswerHasRoom) {
    kernel.grows_answers = 2;
    const auto info = get_iommu_info(kernel, 0);
    ASSERT_TRUE(info);
    EXPECT_EQ(info.value.ranges.size(), 2u);
    EXPECT_EQ(info.value.page_sizes, 0x40201000u);
    EXPECT_EQ(info.value.mappings_left, 65535u);
}

TEST_F(VfioCalls, StopAskingWhenTheAnswerNeverEndsGrowing) {
    kernel.grows_answers = 1000;
    EXPECT_EQ(get_iommu_info(kernel, 0).error, E2BIG);
}

/// Wants ever as much room, and notes what it got.
class GreedyKernel : public test::FakeKernel {
  public:
    explicit GreedyKernel(std::uint32_t wanted) : wanted_{wanted} {}

    using FakeKernel::ioctl;
    int ioctl(int, unsigned long, void* argument) noexcept override {
        std::uint32_t room = 0;
        std::memcpy(&room, argument, sizeof room);
        most_room = std::max(most_room, room);
        std::memcpy(argument, &wanted_, sizeof wanted_);
        return 0;
    }

    std::uint32_t most_room = 0;

  private:
    std::uint32_t wanted_;
};

TEST_F(VfioCalls, GiveTheAnswerRoomWithinReason) {
    GreedyKernel modest{std::uint32_t{1} << 20};
    EXPECT_TRUE(get_iommu_info(modest, 0));
    EXPECT_EQ(modest.most_room, std::uint32_t{1} << 20);
    for (const std::uint32_t wanted : {(std::uint32_t{1} << 20) + 1, std::uint32_t{1} << 28}) {
        GreedyKernel greedy{wanted};
        EXPECT_EQ(get_iommu_info(greedy, 0).error, E2BIG);
        EXPECT_EQ(get_region_info(greedy, 0, 0).error, E2BIG);
        EXPECT_LT(greedy.most_room, 100u) << "it was asked again, with room for all that";
    }
}

TEST_F(VfioCalls, ReadSparseAreas) {
    kernel.has_sparse_registers = true;
    const auto info = get_region_info(kernel, 0, 0);
    ASSERT_TRUE(info);
    EXPECT_TRUE(info.value.has_sparse_areas);
    ASSERT_EQ(info.value.areas.size(), 2u);
    EXPECT_EQ(info.value.areas[1].offset, 0x8000u);
    EXPECT_EQ(info.value.areas[1].length, 0x8000u);
}

TEST_F(VfioCalls, TellDirectionsAsTheDeviceSeesThem) {
    std::array<std::byte, 16> memory{};
    ASSERT_EQ(map_dma(kernel, 0, Iova{4096}, memory, DmaDirection::to_device), 0);
    EXPECT_EQ(kernel.last_map_flags, static_cast<std::uint32_t>(VFIO_DMA_MAP_FLAG_READ));
    ASSERT_EQ(map_dma(kernel, 0, Iova{4096}, memory, DmaDirection::from_device), 0);
    EXPECT_EQ(kernel.last_map_flags, static_cast<std::uint32_t>(VFIO_DMA_MAP_FLAG_WRITE));
    ASSERT_EQ(map_dma(kernel, 0, Iova{4096}, memory, DmaDirection::bidirectional), 0);
    EXPECT_EQ(kernel.last_map_flags, static_cast<std::uint32_t>(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE));
}

}  // namespace uiovfio::detail::vfio

// SPDX-License-Identifier: MIT
#include "iova_allocator.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <vector>

namespace uiovfio::detail {

namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kTop = ~std::uint64_t{0};
using Reservation = IovaAllocator::Reservation;

IovaRange range(std::uint64_t first, std::uint64_t last) { return {Iova{first}, Iova{last}}; }

/// The plainest allocator that could be: one bool per granule, searched from the start.
class Model {
  public:
    Model(std::size_t granules, std::size_t hole_first, std::size_t hole_last)
        : free_(granules, true), is_hole_(granules) {
        for (std::size_t i = hole_first; i <= hole_last && i < granules; ++i) {
            is_hole_[i] = true;
            free_[i] = false;
        }
    }

    [[nodiscard]] bool is_free(std::size_t first, std::size_t count) const {
        for (std::size_t i = first; i < first + count; ++i)
            if (i >= free_.size() || !free_[i]) return false;
        return true;
    }

    std::optional<std::size_t> allocate(std::size_t count, std::size_t alignment, std::size_t offset = 0) {
        for (std::size_t first = 0; first < free_.size(); ++first) {
            if (first == 0 || first % alignment != offset || !is_free(first, count)) continue;
            mark(first, count, false);
            return first;
        }
        return std::nullopt;
    }

    Reservation reserve(std::size_t first, std::size_t count) {
        for (std::size_t i = first; i < first + count; ++i)
            if (i >= free_.size() || is_hole_[i]) return Reservation::outside;
        if (!is_free(first, count)) return Reservation::overlap;
        mark(first, count, false);
        return Reservation::ok;
    }

    void mark(std::size_t first, std::size_t count, bool free) {
        for (std::size_t i = first; i < first + count; ++i) free_[i] = free;
    }

    [[nodiscard]] const std::vector<bool>& free() const { return free_; }

  private:
    std::vector<bool> free_;
    std::vector<bool> is_hole_;
};

std::vector<bool> free_granules(const IovaAllocator& allocator, std::size_t granules) {
    std::vector<bool> free(granules);
    for (const IovaRange& run : allocator.free_ranges())
        for (std::uint64_t at = to_integer(run.first) / kPage; at <= to_integer(run.last) / kPage; ++at)
            free[at] = true;
    return free;
}

}  // namespace

TEST(IovaAllocator, GivesTheLowestThatFitsAndNeverZero) {
    IovaAllocator allocator{{range(0, 16 * kPage - 1)}, kPage};
    EXPECT_EQ(allocator.allocate(kPage, kPage), Iova{kPage});
    EXPECT_EQ(allocator.allocate(2 * kPage, kPage), Iova{2 * kPage});
    EXPECT_EQ(allocator.reserve(Iova{0}, kPage), Reservation::ok);
}

TEST(IovaAllocator, AlignsAndUsesWhatAlignmentLeftOver) {
    IovaAllocator allocator{{range(kPage, 64 * kPage - 1)}, kPage};
    EXPECT_EQ(allocator.allocate(8 * kPage, 8 * kPage), Iova{8 * kPage});
    EXPECT_EQ(allocator.allocate(7 * kPage, kPage), Iova{kPage});
    EXPECT_EQ(allocator.allocate(kPage, kPage), Iova{16 * kPage});
}

TEST(IovaAllocator, GivesAddressesThatLieAsFarBehindABoundaryAsIsAskedFor) {
    IovaAllocator allocator{{range(0, 64 * kPage - 1)}, kPage};
    EXPECT_EQ(allocator.allocate(9 * kPage, 8 * kPage, 7 * kPage), Iova{7 * kPage});
    EXPECT_EQ(allocator.allocate(9 * kPage, 8 * kPage, 7 * kPage), Iova{23 * kPage});
    EXPECT_EQ(allocator.allocate(kPage, 8 * kPage, 0), Iova{16 * kPage});
    EXPECT_EQ(allocator.allocate(9 * kPage, 8 * kPage, kPage), Iova{33 * kPage});
    // The first such address of a range may lie before it.
    IovaAllocator high{{range(5 * kPage, 24 * kPage - 1)}, kPage};
    EXPECT_EQ(high.allocate(2 * kPage, 8 * kPage, 4 * kPage), Iova{12 * kPage});
    EXPECT_EQ(high.allocate(2 * kPage, 8 * kPage, 5 * kPage), Iova{5 * kPage});
    EXPECT_EQ(high.allocate(20 * kPage, 8 * kPage, 5 * kPage), std::nullopt);
}

TEST(IovaAllocator, StaysOutOfHoles) {
    IovaAllocator allocator{{range(0, 0xfedfffff), range(0xfef00000, 0xffffffff)}, kPage};
    EXPECT_EQ(allocator.reserve(Iova{0xfee00000}, kPage), Reservation::outside);
    EXPECT_EQ(allocator.reserve(Iova{0xfedff000}, 2 * kPage), Reservation::outside);
    EXPECT_EQ(allocator.reserve(Iova{0xfeeff000}, 2 * kPage), Reservation::outside);
    EXPECT_EQ(allocator.reserve(Iova{0xfedff000}, kPage), Reservation::ok);
    EXPECT_EQ(allocator.allocate(0x100000, 0x100000), Iova{0x100000});
    EXPECT_EQ(allocator.allocate(0xfed00000, kPage), std::nullopt);
}

TEST(IovaAllocator, ReachesTheVeryTop) {
    IovaAllocator allocator{{range(kTop - 4 * kPage + 1, kTop)}, kPage};
    EXPECT_EQ(allocator.reserve(Iova{kTop - kPage + 1}, kPage), Reservation::ok);
    EXPECT_EQ(allocator.reserve(Iova{kTop - kPage + 1}, 2 * kPage), Reservation::outside);
    EXPECT_EQ(allocator.allocate(3 * kPage, kPage), Iova{kTop - 4 * kPage + 1});
    EXPECT_EQ(allocator.allocate(kPage, kPage), std::nullopt);
    allocator.release(Iova{kTop - kPage + 1}, kPage);
    allocator.release(Iova{kTop - 4 * kPage + 1}, 3 * kPage);
    EXPECT_THAT(allocator.free_ranges(), testing::ElementsAre(range(kTop - 4 * kPage + 1, kTop)));
    EXPECT_EQ(allocator.allocate(kPage, std::uint64_t{1} << 63), std::nullopt);
    EXPECT_EQ(allocator.allocate(kPage, 4 * kPage, 3 * kPage), Iova{kTop - kPage + 1});
    EXPECT_EQ(allocator.allocate(kPage, std::uint64_t{1} << 63, kPage), std::nullopt);
}

TEST(IovaAllocator, CoversTheWholeSpace) {
    IovaAllocator allocator{{range(0, kTop)}, kPage};
    EXPECT_THAT(allocator.ranges(), testing::ElementsAre(range(0, kTop)));
    EXPECT_EQ(allocator.allocate(std::uint64_t{1} << 63, kPage), Iova{kPage});
    EXPECT_EQ(allocator.allocate(std::uint64_t{1} << 63, kPage), std::nullopt);
}

TEST(IovaAllocator, JoinsSortsAndTrimsTheRangesItIsGiven) {
    const IovaAllocator allocator{
        {range(8 * kPage, 12 * kPage - 1), range(100, 4 * kPage + 50), range(4 * kPage, 8 * kPage - 1),
         range(20 * kPage + 1, 21 * kPage - 1), range(30 * kPage, 30 * kPage + 10), range(10 * kPage, 11 * kPage - 1)},
        kPage};
    EXPECT_THAT(allocator.ranges(), testing::ElementsAre(range(kPage, 12 * kPage - 1)));
    EXPECT_TRUE((IovaAllocator{{}, kPage}.ranges().empty()));
    EXPECT_EQ((IovaAllocator{{}, kPage}.allocate(kPage, kPage)), std::nullopt);
}

// Every sequence of four operations on a space of eight granules with a hole, against the model.
TEST(IovaAllocator, AgreesWithAModelExhaustively) {
    constexpr std::size_t kGranules = 8;
    struct Operation {
        bool is_reserve;
        std::size_t count;
        std::size_t at;  // first granule, or the alignment
        std::size_t offset = 0;
    };
    std::vector<Operation> operations;
    for (std::size_t count = 1; count <= 3; ++count) {
        for (const std::size_t alignment : {1u, 2u, 4u}) operations.push_back({false, count, alignment});
        operations.push_back({false, count, 4, 3});
        for (std::size_t first = 0; first < kGranules; first += 2) operations.push_back({true, count, first});
    }
    const std::size_t kinds = operations.size();
    for (std::size_t sequence = 0; sequence < kinds * kinds * kinds * kinds; ++sequence) {
        IovaAllocator allocator{{range(0, 3 * kPage - 1), range(5 * kPage, 8 * kPage - 1)}, kPage};
        Model model{kGranules, 3, 4};
        std::vector<std::pair<std::size_t, std::size_t>> taken;
        std::size_t rest = sequence;
        for (int step = 0; step < 4; ++step, rest /= kinds) {
            const Operation& operation = operations[rest % kinds];
            if (operation.is_reserve) {
                const auto expected = model.reserve(operation.at, operation.count);
                ASSERT_EQ(allocator.reserve(Iova{operation.at * kPage}, operation.count * kPage), expected);
                if (expected == Reservation::ok) taken.emplace_back(operation.at, operation.count);
            } else {
                const auto expected = model.allocate(operation.count, operation.at, operation.offset);
                const auto got =
                    allocator.allocate(operation.count * kPage, operation.at * kPage, operation.offset * kPage);
                ASSERT_EQ(got.has_value(), expected.has_value()) << "sequence " << sequence;
                if (expected) {
                    ASSERT_EQ(*got, Iova{*expected * kPage}) << "sequence " << sequence;
                    taken.emplace_back(*expected, operation.count);
                }
            }
        }
        ASSERT_EQ(free_granules(allocator, kGranules), model.free()) << "sequence " << sequence;
        for (const auto& [first, count] : taken) {
            allocator.release(Iova{first * kPage}, count * kPage);
            model.mark(first, count, true);
            ASSERT_EQ(free_granules(allocator, kGranules), model.free()) << "sequence " << sequence;
        }
        ASSERT_THAT(allocator.free_ranges(),
                    testing::ElementsAre(range(0, 3 * kPage - 1), range(5 * kPage, 8 * kPage - 1)));
    }
}

// Long histories, in which pieces are given back in any order.
TEST(IovaAllocator, AgreesWithAModelOverLongHistories) {
    constexpr std::size_t kGranules = 64;
    for (unsigned seed = 0; seed < 20; ++seed) {
        std::mt19937 random{seed};
        const auto below = [&](std::size_t limit) { return static_cast<std::size_t>(random() % limit); };
        IovaAllocator allocator{{range(0, 30 * kPage - 1), range(40 * kPage, 64 * kPage - 1)}, kPage};
        Model model{kGranules, 30, 39};
        std::vector<std::pair<std::size_t, std::size_t>> taken;
        for (int step = 0; step < 2000; ++step) {
            if (!taken.empty() && below(2) == 0) {
                std::swap(taken[below(taken.size())], taken.back());
                const auto [first, count] = taken.back();
                taken.pop_back();
                allocator.release(Iova{first * kPage}, count * kPage);
                model.mark(first, count, true);
            } else {
                const std::size_t count = 1 + below(6);
                const std::size_t alignment = std::size_t{1} << below(4);
                const std::size_t offset = below(alignment);
                const auto expected = model.allocate(count, alignment, offset);
                const auto got = allocator.allocate(count * kPage, alignment * kPage, offset * kPage);
                ASSERT_EQ(got, expected ? std::optional{Iova{*expected * kPage}} : std::nullopt);
                if (expected) taken.emplace_back(*expected, count);
            }
            ASSERT_EQ(free_granules(allocator, kGranules), model.free()) << "seed " << seed << " step " << step;
        }
    }
}

}  // namespace uiovfio::detail

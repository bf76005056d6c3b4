// SPDX-License-Identifier: MIT
/// What each call of IOMMUFD gives the kernel, byte for byte, and what becomes of the answer. The numbers are those of
/// the kernel's interface, which never change; that our structures are the kernel's, another test shows.

#include "iommufd_calls.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>

#include "fake_kernel.hpp"

namespace uiovfio::detail::iommufd {

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int kDevice = 41, kIommufd = 42;

/// Keeps what the kernel was asked, and answers as the test wants.
class Asked : public test::FakeKernel {
  public:
    int ioctl(int descriptor, unsigned long request, void* argument) noexcept override {
        file = descriptor;
        number = request;
        std::uint32_t size = 0;  // every one of these requests begins with it
        std::memcpy(&size, argument, sizeof size);
        words.resize(size / 4);
        std::memcpy(words.data(), argument, size);
        ++times;
        if (error != 0) {
            errno = error;
            return -1;
        }
        answer(argument);
        return 0;
    }
    using FakeKernel::ioctl;

    int file = -1;
    unsigned long number = 0;
    std::vector<std::uint32_t> words;
    int times = 0;
    int error = 0;
    std::function<void(void*)> answer = [](void*) {};
};

template <class T>
void put(void* argument, std::size_t offset, T value) {
    std::memcpy(static_cast<std::byte*>(argument) + offset, &value, sizeof value);
}

std::uint32_t low(const void* pointer) { return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(pointer)); }
std::uint32_t high(const void* pointer) {
    return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(pointer) >> 32);
}

}  // namespace

class IommufdBytes : public testing::Test {
  protected:
    /// The call's number, as _IO(';', number) has it, and the file that it went to.
    void expect_call(unsigned number, int file) const {
        EXPECT_EQ(asked.number, 0x3b00UL + number);
        EXPECT_EQ(asked.file, file);
        EXPECT_EQ(asked.times, 1);
    }

    Asked asked;
    std::array<std::byte, 64> memory{};
};

TEST_F(IommufdBytes, BindNamesTheIommufdAndGivesTheDevicesNumber) {
    asked.answer = [](void* argument) { put(argument, 12, std::uint32_t{5}); };
    const auto bound = bind(asked, kDevice, kIommufd);
    expect_call(100 + 18, kDevice);
    EXPECT_THAT(asked.words, ElementsAre(16, 0, kIommufd, 0));
    EXPECT_EQ(bound.value, 5u);
}

TEST_F(IommufdBytes, AttachNamesTheAddressSpace) {
    EXPECT_EQ(attach(asked, kDevice, 7), 0);
    expect_call(100 + 19, kDevice);
    EXPECT_THAT(asked.words, ElementsAre(12, 0, 7));
}

TEST_F(IommufdBytes, AllocGivesTheAddressSpacesNumber) {
    asked.answer = [](void* argument) { put(argument, 8, std::uint32_t{9}); };
    EXPECT_EQ(ioas_alloc(asked, kIommufd).value, 9u);
    expect_call(0x81, kIommufd);
    EXPECT_THAT(asked.words, ElementsAre(12, 0, 0));
}

TEST_F(IommufdBytes, RangesAreAskedForWithoutRoomAtFirst) {
    asked.answer = [](void* argument) { put(argument, 24, std::uint64_t{4096}); };
    const auto found = ioas_iova_ranges(asked, kIommufd, 3);
    expect_call(0x84, kIommufd);
    EXPECT_THAT(asked.words, ElementsAre(32, 3, 0, 0, 0, 0, 0, 0));
    EXPECT_THAT(found.value.ranges, IsEmpty());
    EXPECT_EQ(found.value.alignment, 4096u);
}

TEST_F(IommufdBytes, AllowGivesEachRangeItsFirstAndLastAddress) {
    std::array<std::uint64_t, 4> given{};
    asked.answer = [&](void* argument) {
        std::uint64_t list = 0;
        std::memcpy(&list, static_cast<std::byte*>(argument) + 16, sizeof list);
        std::memcpy(given.data(), reinterpret_cast<const void*>(list), sizeof given);
    };
    EXPECT_EQ(
        ioas_allow_iovas(asked, kIommufd, 3,
                         std::array{IovaRange{Iova{0x1000}, Iova{0x1fff}}, IovaRange{Iova{0x4000}, Iova{0x4fff}}}),
        0);
    expect_call(0x82, kIommufd);
    ASSERT_EQ(asked.words.size(), 6u);
    EXPECT_THAT(std::vector(asked.words.begin(), asked.words.begin() + 4), ElementsAre(24, 3, 2, 0));
    EXPECT_THAT(given, ElementsAre(0x1000, 0x1fff, 0x4000, 0x4fff));
}

TEST_F(IommufdBytes, MapNamesTheAddressOnlyWhereOneIsWanted) {
    (void)ioas_map(asked, kIommufd, 3, Iova{0x1'0020'0000}, memory, DmaDirection::bidirectional);
    expect_call(0x85, kIommufd);
    EXPECT_THAT(asked.words, ElementsAre(40, 0b111, 3, 0, low(memory.data()), high(memory.data()), 64, 0, 0x200000, 1));

    asked.answer = [](void* argument) { put(argument, 32, std::uint64_t{0xabc000}); };
    EXPECT_EQ(ioas_map(asked, kIommufd, 3, {}, memory, DmaDirection::bidirectional).value, Iova{0xabc000});
    EXPECT_THAT(asked.words, ElementsAre(40, 0b110, 3, 0, low(memory.data()), high(memory.data()), 64, 0, 0, 0));
}

// As the device sees it: what goes to the device is what it reads.
TEST_F(IommufdBytes, MapTellsTheDirection) {
    (void)ioas_map(asked, kIommufd, 3, {}, memory, DmaDirection::to_device);
    EXPECT_EQ(asked.words[1], 0b100u);
    (void)ioas_map(asked, kIommufd, 3, {}, memory, DmaDirection::from_device);
    EXPECT_EQ(asked.words[1], 0b010u);
}

TEST_F(IommufdBytes, UnmapGivesWhatWasReallyUnmapped) {
    asked.answer = [](void* argument) { put(argument, 16, std::uint64_t{0x1000}); };
    EXPECT_EQ(ioas_unmap(asked, kIommufd, 3, Iova{0x1'0000'0000}, 0x2000).value, 0x1000u);
    expect_call(0x86, kIommufd);
    EXPECT_THAT(asked.words, ElementsAre(24, 3, 0, 1, 0x2000, 0));
}

TEST_F(IommufdBytes, DestroyNamesTheObject) {
    EXPECT_EQ(destroy(asked, kIommufd, 3), 0);
    expect_call(0x80, kIommufd);
    EXPECT_THAT(asked.words, ElementsAre(8, 3));
}

TEST_F(IommufdBytes, EachGivesTheSystemsNumberWhenItFails) {
    asked.error = EIO;
    EXPECT_EQ(bind(asked, kDevice, kIommufd).error, EIO);
    EXPECT_EQ(attach(asked, kDevice, 3), EIO);
    EXPECT_EQ(ioas_alloc(asked, kIommufd).error, EIO);
    EXPECT_EQ(ioas_iova_ranges(asked, kIommufd, 3).error, EIO);
    EXPECT_EQ(ioas_allow_iovas(asked, kIommufd, 3, {}), EIO);
    EXPECT_EQ(ioas_map(asked, kIommufd, 3, {}, memory, DmaDirection::bidirectional).error, EIO);
    EXPECT_EQ(ioas_unmap(asked, kIommufd, 3, Iova{0}, 64).error, EIO);
    EXPECT_EQ(destroy(asked, kIommufd, 3), EIO);
}

}  // namespace uiovfio::detail::iommufd

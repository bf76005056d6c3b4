// SPDX-License-Identifier: MIT
/// A device that goes and returns while several threads look.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <utility>

#include "backend.hpp"
#include "backend_list.hpp"

namespace uiovfio::detail {

namespace {

/// A device of which only the header's type can be read.
class Comes final : public Backend {
  public:
    Comes() : Backend{Bdf{0, 1, 0, 0}} {}

    std::atomic<bool> answers{true};
    std::atomic<bool> is_covered{false};
    std::function<void()> while_read;     ///< the answer has been given, and is not yet here
    std::function<void()> while_covered;  ///< half of it is

    [[nodiscard]] const BackendTraits& traits() const noexcept override { return traits_of("sim"); }
    [[nodiscard]] std::uint16_t config_size() const noexcept override { return 256; }
    [[nodiscard]] std::uint32_t config_read(std::uint16_t, unsigned) override {
        const std::uint32_t answer = answers ? 0 : 0xff;
        if (auto hook = std::exchange(while_read, nullptr)) hook();
        return answer;
    }
    void config_write(std::uint16_t, unsigned, std::uint32_t) override {}
    [[nodiscard]] BarInfo bar_info(unsigned) const override { return {}; }
    [[nodiscard]] bool is_mappable(unsigned, std::uint64_t, std::uint64_t) const noexcept override { return false; }
    [[nodiscard]] volatile void* map(unsigned, std::uint64_t, std::uint64_t) override { return nullptr; }
    [[nodiscard]] std::uint64_t region_read(unsigned, std::uint64_t, unsigned) override { return 0; }
    void region_write(unsigned, std::uint64_t, unsigned, std::uint64_t) override {}
    [[nodiscard]] bool can_reset() const noexcept override { return false; }
    void reset() override {}

  protected:
    void do_close() noexcept override {}
    void presence_changed(bool is_present) noexcept override {
        if (!is_present)
            if (auto hook = std::exchange(while_covered, nullptr)) hook();
        is_covered = !is_present;
    }
};

}  // namespace

TEST(Presence, OfADeviceThatReturnsWhileItIsBeingCovered) {
    Comes device;
    std::future<bool> other;
    device.answers = false;
    device.while_covered = [&] {
        device.answers = true;
        other = std::async(std::launch::async, [&] { return device.check_presence(); });
        // It comes to its end here, where it does not wait for this thread.
        other.wait_for(std::chrono::milliseconds{100});
    };
    EXPECT_FALSE(device.check_presence());
    EXPECT_TRUE(other.get());
    EXPECT_FALSE(device.status());
    EXPECT_FALSE(device.is_covered) << "nobody would uncover it any more";
}

TEST(Presence, IsWhatWasAskedLast) {
    Comes device;
    int losses = 0;
    device.on_loss([&] { ++losses; });
    device.answers = false;
    device.while_read = [&] {
        device.answers = true;
        EXPECT_TRUE(device.check_presence());
    };
    EXPECT_TRUE(device.check_presence()) << "an answer from before the device returned";
    EXPECT_FALSE(device.is_covered);
    EXPECT_EQ(losses, 0);
}

TEST(Presence, IsToldOnceForEachLoss) {
    Comes device;
    int losses = 0;
    device.on_loss([&] { ++losses; });
    for (const bool answers : {false, false, true, true, false}) {
        device.answers = answers;
        EXPECT_EQ(device.check_presence(), answers);
        EXPECT_EQ(device.is_covered, !answers);
    }
    EXPECT_EQ(losses, 2);
}

}  // namespace uiovfio::detail

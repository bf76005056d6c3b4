// SPDX-License-Identifier: MIT
#include <poll.h>

#include <thread>

#include "conformance.hpp"

namespace uiovfio::conformance {

namespace {

std::string event_name(const testing::TestParamInfo<DeviceEvent>& info) {
    return info.param == DeviceEvent::error ? "Error" : "RemovalRequest";
}

}  // namespace

/// Where the backend has the event; those that have none say so.
class ConformanceEvents : public Conformance, public testing::WithParamInterface<DeviceEvent> {
  protected:
    void SetUp() override {
        if (events.available(event)) return;
        EXPECT_EQ(errc_of([&] { events.wait(event, kAtOnce); }), Errc::unsupported);
        EXPECT_EQ(errc_of([&] { events.trigger(event); }), Errc::unsupported);
        EXPECT_EQ(errc_of([&] { (void)events.event_fd(event); }), Errc::unsupported);
        EXPECT_EQ(errc_of([&] { (void)events.subscribe(event); }), Errc::unsupported);
        GTEST_SKIP() << "the " << device.backend() << " backend has no " << to_string(event);
    }

    const DeviceEvent event = GetParam();
    DeviceEvents& events = device.events();
};

INSTANTIATE_TEST_SUITE_P(Events, ConformanceEvents, testing::Values(DeviceEvent::error, DeviceEvent::removal_request),
                         event_name);

TEST_P(ConformanceEvents, ArriveAloneAndOnce) {
    const DeviceEvent other = event == DeviceEvent::error ? DeviceEvent::removal_request : DeviceEvent::error;
    events.trigger(event);
    EXPECT_EQ(events.wait(event, kPatience), 1u);
    EXPECT_EQ(events.try_take(other), 0u);
    EXPECT_EQ(events.try_take(event), 0u);
    EXPECT_EQ(errc_of([&] { events.wait(event, kAtOnce); }), Errc::timed_out);
}

TEST_P(ConformanceEvents, AddUpWhileNobodyWaits) {
    for (int i = 0; i < 3; ++i) events.trigger(event);
    pollfd entry{.fd = events.event_fd(event), .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&entry, 1, 0), 1);
    EXPECT_EQ(events.wait(event, kPatience), 3u);
}

TEST_P(ConformanceEvents, WakeAWaitThatHasBegun) {
    std::uint64_t count = 0;
    std::thread waiter{[&] { count = events.wait(event, kPatience); }};
    events.trigger(event);
    waiter.join();
    EXPECT_EQ(count, 1u);
}

TEST_P(ConformanceEvents, StayArmedOverAReset) {
    events.trigger(event);
    device.reset();
    events.trigger(event);
    EXPECT_EQ(events.wait(event, kPatience), 2u);
}

// Unlike those who wait for an interrupt: what an event tells has not changed.
TEST_P(ConformanceEvents, AreNotInterruptedByAReset) {
    std::error_code ec;
    std::uint64_t count = 0;
    std::thread waiter{[&] { count = events.wait(event, kPatience, ec); }};
    for (int i = 0; i < 3; ++i) device.reset();
    events.trigger(event);
    waiter.join();
    EXPECT_FALSE(ec) << ec.message();
    EXPECT_EQ(count, 1u);
}

TEST_P(ConformanceEvents, EndWithTheDevice) {
    std::error_code ec;
    std::thread waiter{[&] { events.wait(event, kPatience, ec); }};
    auto subscription = events.subscribe(event);
    device.close();
    waiter.join();
    EXPECT_EQ(ec, Errc::closed);
    EXPECT_EQ(subscription.status(), Errc::closed);
    EXPECT_FALSE(events.available(event));
    EXPECT_EQ(errc_of([&] { events.wait(event, kAtOnce); }), Errc::closed);
    EXPECT_EQ(errc_of([&] { events.trigger(event); }), Errc::closed);
}

}  // namespace uiovfio::conformance

// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A program at work: its device copies without pause and interrupts for each copy, until somebody wants it back.

#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <optional>
#include <pcienic/dma_async.hpp>
#include <pcienic/driver.hpp>
#include <uiovfio/asio.hpp>
#include <uiovfio/uiovfio.hpp>

#include "slot.hpp"

namespace pcienic::test {

class RunningDriver {
  public:
    explicit RunningDriver(const uiovfio::Bdf& bdf) : device_{uiovfio::Device::open(bdf)} {
        driver_.enable_interrupts(uiovfio::InterruptMode::msix);
        dma_.emplace(driver_, EngineOptions{.entries = 16, .vector = std::uint16_t{3}});
    }

    /// Works until the removal is requested, and calls `when_busy` after the first copies.
    void work_until_removal_is_requested(const std::function<void()>& when_busy) {
        namespace asio = boost::asio;
        constexpr unsigned kWarm = 3;
        asio::io_context io;
        AsyncDma async{io.get_executor(), *dma_};
        uiovfio::AsyncDeviceEvent removal{io.get_executor(), device_.events(), uiovfio::DeviceEvent::removal_request};
        bool wanted_back = false;
        const auto copies = [&]() -> asio::awaitable<void> {
            for (unsigned copy_number = 0; !wanted_back; ++copy_number) {
                if (copy_number == kWarm) when_busy();
                const Result result =
                    co_await async.run(copy(source_.iova(), destination_.iova(), kSize), asio::use_awaitable);
                EXPECT_FALSE(result.code) << "copy " << copy_number << ": " << result.code.message();
                if (result.code) co_return;
            }
        };
        const auto removal_request = [&]() -> asio::awaitable<void> {
            EXPECT_GE(co_await removal.async_wait(asio::use_awaitable), 1U);
            wanted_back = true;
        };
        const auto no_error = [](const std::exception_ptr& error) {
            if (error) std::rethrow_exception(error);
        };
        asio::co_spawn(io, copies(), no_error);
        asio::co_spawn(io, removal_request(), no_error);
        io.run_for(kPatience);
        EXPECT_TRUE(io.stopped()) << "nobody asked for the device";
    }

    /// Stops the queue, as an orderly driver does before it gives the device back.
    void stop() { dma_->stop(); }

    Driver& driver() noexcept { return driver_; }
    DmaEngine& dma() noexcept { return *dma_; }
    uiovfio::Device& device() noexcept { return device_; }
    /// One copy; its result.
    Result copy_once(std::chrono::nanoseconds timeout) {
        return dma_->run(copy(source_.iova(), destination_.iova(), kSize), timeout);
    }

  private:
    static constexpr std::size_t kSize = 20000;  // several pages

    uiovfio::Device device_;
    Driver driver_{device_};
    uiovfio::DmaBuffer source_ = device_.dma().allocate(kSize);
    uiovfio::DmaBuffer destination_ = device_.dma().allocate(kSize);
    std::optional<DmaEngine> dma_;
};

/// A driver that begins now finds a device that works.
inline void expect_works(const uiovfio::Bdf& bdf) {
    RunningDriver driver{bdf};
    EXPECT_FALSE(driver.copy_once(kPatience).code);
}

}  // namespace pcienic::test

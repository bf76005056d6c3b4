// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A long DMA transfer as a pipeline of commands.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <system_error>

#include "cli/exit.hpp"
#include "pcienic/dma.hpp"

namespace pcienic::ctl {

class Transfer {
  public:
    Transfer(DmaEngine& engine, std::chrono::nanoseconds timeout) : engine_{engine}, timeout_{timeout} {}
    /// The caller unmaps its memory next, so after a failure the device must have let go of what is still outstanding.
    ~Transfer() {
        std::error_code ignored;  // a device that does not stop is cut off by the unmapping
        if (engine_.outstanding() != 0) engine_.stop(ignored);
    }
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;

    /// `make(offset, length)` gives the command for a chunk. Returns the time that it took. Throws Failure.
    template <class Make>
    std::chrono::nanoseconds run(std::uint64_t size, Make make) {
        using Clock = std::chrono::steady_clock;
        constexpr std::uint64_t kChunk = 1 << 20;
        const auto start = Clock::now();
        for (std::uint64_t at = 0; at < size; at += kChunk) {
            if (pending_.size() == engine_.capacity()) finish_one();
            pending_.push_back(engine_.submit(make(at, static_cast<std::uint32_t>(std::min(kChunk, size - at)))));
        }
        while (!pending_.empty()) finish_one();
        return Clock::now() - start;
    }

  private:
    void finish_one() {
        using cli::Exit;
        using cli::Failure;
        const Result result = engine_.wait(pending_.front(), timeout_);
        pending_.pop_front();
        if (result.code == uiovfio::Errc::timed_out) {
            throw Failure{Exit::timeout,
                          "dma: no completion in time: give it longer with --timeout, 'pcienic-ctl info' shows the "
                          "device's error"};
        }
        if (!result) throw Failure{Exit::failure, fmt::format("dma: {}", to_string(result))};
    }

    DmaEngine& engine_;
    std::chrono::nanoseconds timeout_;
    std::deque<Ticket> pending_;
};

}  // namespace pcienic::ctl

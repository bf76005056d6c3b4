// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Having a pcienic use host memory, without its driver: one descriptor at a time.

#include <atomic>
#include <chrono>
#include <thread>

#include "conformance.hpp"

namespace uiovfio::conformance {

class DeviceDma {
  public:
    explicit DeviceDma(Device& device)
        : window_{device.bar(pcienic::kBarRegisters).window()},
          ring_{device.dma().allocate(kPage)},
          completions_{device.dma().allocate(kPage)} {
        namespace regs = pcienic::regs;
        regs::DmaRingBase::write(window_, to_integer(ring_.iova()));
        regs::DmaCompletionBase::write(window_, to_integer(completions_.iova()));
        regs::DmaRingSize::write(window_, regs::DmaRingSize::Value{}.set<regs::DmaRingSize::Log2>(kLog2));
        regs::DmaCtrl::write(window_, regs::DmaCtrl::Value{}.set<regs::DmaCtrl::Enable>(true));
    }
    ~DeviceDma() { pcienic::regs::DmaCtrl::write(window_, 0u); }
    DeviceDma(const DeviceDma&) = delete;
    DeviceDma& operator=(const DeviceDma&) = delete;

    static constexpr std::byte kFilled{0x5a};

    /// Has the device write kFilled there; gives the completion's code, 0 for done.
    unsigned fill(Iova destination, std::uint32_t length) {
        return run(pcienic::Descriptor::Control::OpcodeValue::kFillHost, 0x5a5a5a5a5a5a5a5a, destination, length);
    }
    /// Has the device read from one place and write to another.
    unsigned copy(Iova source, Iova destination, std::uint32_t length) {
        return run(pcienic::Descriptor::Control::OpcodeValue::kHostToHost, to_integer(source), destination, length);
    }

  private:
    static constexpr std::uint32_t kPhase = 1U << 31;
    static constexpr unsigned kLog2 = 4;

    unsigned run(pcienic::Descriptor::Control::OpcodeValue opcode, std::uint64_t source, Iova destination,
                 std::uint32_t length) {
        using Control = pcienic::Descriptor::Control;
        // On each lap round the ring the phase is the other one.
        const std::uint32_t phase = (next_ >> kLog2) % 2 == 0 ? kPhase : 0;
        const std::size_t index = next_++ % (std::size_t{1} << kLog2);
        auto* descriptor = reinterpret_cast<pcienic::Descriptor*>(ring_.bytes().data()) + index;
        descriptor->source = source;
        descriptor->destination = to_integer(destination);
        descriptor->length = length;
        const auto control = Control::Value{}.set<Control::Opcode>(opcode).raw() | phase;
        std::atomic_ref{descriptor->control}.store(control, std::memory_order_release);
        pcienic::regs::DmaDoorbell::write_release(window_, 1u);

        auto* completion = reinterpret_cast<pcienic::Completion*>(completions_.bytes().data()) + index;
        std::atomic_ref status{completion->status};
        const auto deadline = std::chrono::steady_clock::now() + kPatience;
        while ((status.load(std::memory_order_acquire) & kPhase) != phase) {
            if (std::chrono::steady_clock::now() > deadline) {
                ADD_FAILURE() << "the device does not complete its command";
                return ~0U;
            }
            std::this_thread::yield();
        }
        return status.load() & 0xff;
    }

    Window window_;
    DmaBuffer ring_;
    DmaBuffer completions_;
    std::size_t next_ = 0;
};

}  // namespace uiovfio::conformance

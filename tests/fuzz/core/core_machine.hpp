// SPDX-License-Identifier: MIT
// A machine around the core whose every event comes from a fuzzer's input: what the driver writes, what the memory
// holds, and what happens while the device is in the middle of something.
#pragma once

#include "core.h"

extern "C" {
#include "core_internal.h"
}

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <span>

namespace pcienic::fuzz {

// Not assert(): the check has to be there in every build.
inline void require(bool condition, const char* what) {
    if (!condition) {
        std::fprintf(stderr, "the core broke a promise: %s\n", what);
        std::abort();
    }
}

// The input as a sequence of numbers; zeros when it has come to its end.
class Input {
  public:
    explicit Input(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

    bool is_empty() const { return bytes_.empty(); }

    template <typename T>
    T take() {
        T value{};
        const auto size = std::min(sizeof value, bytes_.size());
        std::memcpy(&value, bytes_.data(), size);
        bytes_ = bytes_.subspan(size);
        return value;
    }

    std::span<const std::uint8_t> take_bytes(std::size_t size) {
        const auto taken = bytes_.first(std::min(size, bytes_.size()));
        bytes_ = bytes_.subspan(taken.size());
        return taken;
    }

  private:
    std::span<const std::uint8_t> bytes_;
};

class Machine {
  public:
    explicit Machine(std::span<const std::uint8_t> bytes) : input_(bytes) {
        constexpr unsigned kVectors[] = {32, 1, 33, PCIENIC_MAX_VECTORS};
        pcienic_core_init(core_.get(), &kOps, this, kVectors[input_.take<std::uint8_t>() % 4], memory_.get(),
                          kMemorySize);
    }

    PcienicCore& core() { return *core_; }
    Input& input() { return input_; }

    // Events until the input is used up. The core must be in a state that it would accept from a migration after each.
    void live() {
        while (!input_.is_empty()) {
            event();
            require(pcienic_core_validate(core_.get()), "the state is one that validate() refuses");
        }
        for (int i = 0; i < 4; ++i) run();
        require(pcienic_core_validate(core_.get()), "the state is one that validate() refuses");
    }

    void start_engine(unsigned log2) {
        write(PCIENIC_REG_DMA_CTRL, 0, 4);
        write(PCIENIC_REG_DMA_RING_BASE, kRing, 8);
        write(PCIENIC_REG_DMA_COMPLETION_BASE, kCompletions, 8);
        write(PCIENIC_REG_DMA_RING_SIZE, log2, 4);
        write(PCIENIC_REG_DMA_CTRL, 1, 4);
    }

    // A descriptor that means something, where the device will look for the next one.
    void put_descriptor() {
        const auto head = core_->dma.head;
        const auto opcode = input_.take<std::uint8_t>();
        const auto flags = input_.take<std::uint8_t>();
        const auto vector = input_.take<std::uint16_t>();
        std::uint8_t bytes[PCIENIC_DESCRIPTOR_SIZE];
        put<std::uint64_t>(bytes + PCIENIC_DESCRIPTOR_SOURCE_OFFSET, address());
        put<std::uint64_t>(bytes + PCIENIC_DESCRIPTOR_DESTINATION_OFFSET, address());
        put<std::uint32_t>(bytes + PCIENIC_DESCRIPTOR_LENGTH_OFFSET, length());
        put<std::uint32_t>(bytes + PCIENIC_DESCRIPTOR_TAG_OFFSET, 0);
        const auto counts = input_.take<std::uint16_t>();
        put<std::uint32_t>(bytes + PCIENIC_DESCRIPTOR_SG_COUNT_OFFSET,
                           (flags & 1 ? counts & 0x1ffu : 0u) | (flags & 2 ? (counts >> 7 & 0x1ffu) << 16 : 0u));
        put<std::uint32_t>(bytes + PCIENIC_DESCRIPTOR_CONTROL_OFFSET,
                           opcode % 7u | (flags & 7u) << 8 | (flags == 0xff ? 1u << 29 : 0u) | (vector & 0xfffu) << 16 |
                               (core_->dma.phase ? PCIENIC_DESCRIPTOR_CONTROL_PHASE_MASK : 0u));
        put_host(kRing + head * PCIENIC_DESCRIPTOR_SIZE, bytes);
    }

    void run() {
        if (nested_) return pcienic_core_run(core_.get());  // the outer run goes on with the work
        accesses_ = 0;
        bytes_ = 0;
        scheduled_ = false;
        in_run_ = true;
        pcienic_core_run(core_.get());
        in_run_ = false;
        require(bytes_ < kMostBytesOfARun, "a run moves more than it may");
        require(scheduled_ || !pcienic_core_busy(core_.get()), "work is left and nobody will do it");
    }

    // Less than a run, and undisturbed: leaves a command in flight.
    void step(unsigned steps) {
        nested_ = true;
        for (; steps > 0 && pcienic_core_busy(core_.get()); --steps) pcienic_dma_step(core_.get());
        nested_ = false;
    }

  private:
    static constexpr std::uint64_t kHostSize = 64 * 1024;  // bus addresses 0 to 64 KiB, and the last page of all
    static constexpr std::uint64_t kTop = ~std::uint64_t{0} - 4095;
    static constexpr std::uint64_t kRing = 0x1000;
    static constexpr std::uint64_t kCompletions = 0x2000;
    static constexpr std::uint64_t kMemorySize = 8192;
    // 256 KiB are read at most, as much is written, and there are descriptors, completions and a step beyond that.
    static constexpr std::size_t kMostBytesOfARun = 600 * 1024;

    void event() {
        switch (input_.take<std::uint8_t>() % 12) {
            case 0:
            case 1: {
                const auto offset = register_offset();
                write(offset, input_.take<std::uint32_t>(), 4);
                break;
            }
            case 2: {
                const auto offset = input_.take<std::uint16_t>();
                const auto size = input_.take<std::uint8_t>() % 17u;
                write(offset, input_.take<std::uint64_t>(), size);
                break;
            }
            case 3: {
                const auto offset = input_.take<std::uint16_t>();
                pcienic_core_read(core_.get(), offset, input_.take<std::uint8_t>() % 17u);
                break;
            }
            case 4:
            case 5:
                run();
                break;
            case 6: {
                const auto at = input_.take<std::uint16_t>();
                put_host(at, input_.take_bytes(input_.take<std::uint8_t>()));
                break;
            }
            case 7: {
                const auto choice = input_.take<std::uint8_t>();
                pcienic_core_set_irq_mode(core_.get(), static_cast<PcienicIrqMode>(choice % 3),
                                          choice % 3 == PCIENIC_IRQ_INTX  ? 1
                                          : choice % 3 == PCIENIC_IRQ_MSI ? 1u << choice / 3 % 6
                                                                          : core_->vectors);
                break;
            }
            case 8:
                bus_master_ = input_.take<std::uint8_t>() % 4 != 0;
                break;
            case 9:
                pcienic_core_reset(core_.get(), static_cast<PcienicResetKind>(input_.take<std::uint8_t>() % 3));
                break;
            case 10:
                start_engine(input_.take<std::uint8_t>() % 7u);
                break;
            default:
                put_descriptor();
                write(PCIENIC_DOORBELL_DMA_DOORBELL, 0, 4);
                break;
        }
    }

    // Something that happens while the core waits for one of its operations.
    void interlude() {
        ++accesses_;
        require(!in_run_ || accesses_ < 10'000, "a run does not end");
        if (accesses_ % 3 == 0 && !nested_ && !input_.is_empty() && input_.take<std::uint8_t>() % 8 == 0) {
            nested_ = true;
            event();
            nested_ = false;
        }
    }

    void write(std::uint64_t offset, std::uint64_t value, unsigned size) {
        pcienic_core_write(core_.get(), offset, value, size);
    }

    std::uint32_t register_offset() {
        static constexpr std::uint32_t kOffsets[] = {
#define PCIENIC_FUZZ_OFFSET(name, offset, ...) offset,
            PCIENIC_REGISTER_TABLE(PCIENIC_FUZZ_OFFSET)
#undef PCIENIC_FUZZ_OFFSET
                PCIENIC_DOORBELL_DMA_DOORBELL};
        return kOffsets[input_.take<std::uint8_t>() % std::size(kOffsets)];
    }

    std::uint64_t address() {
        const auto choice = input_.take<std::uint16_t>();
        switch (choice % 8) {
            case 0:
                return kTop + choice % 4096u;
            case 1:
                return input_.take<std::uint64_t>();
            default:
                return choice / 8u * (choice % 8u);
        }
    }

    std::uint32_t length() {
        const auto choice = input_.take<std::uint16_t>();
        return choice % 16 == 0 ? input_.take<std::uint32_t>() : choice / 4u;
    }

    template <typename T>
    static void put(std::uint8_t* at, T value) {
        std::memcpy(at, &value, sizeof value);
    }

    std::uint8_t* host(std::uint64_t at, std::size_t size) {
        if (at >= kTop) {
            at = at - kTop + kHostSize;
            return size <= kHostSize + 4096 - at ? host_.get() + at : nullptr;
        }
        return size <= kHostSize && at <= kHostSize - size ? host_.get() + at : nullptr;
    }
    void put_host(std::uint64_t at, std::span<const std::uint8_t> bytes) {
        if (auto* place = host(at, bytes.size()); place && !bytes.empty())
            std::memcpy(place, bytes.data(), bytes.size());
    }

    static Machine& self(void* opaque) { return *static_cast<Machine*>(opaque); }

    static PcienicDmaResult dma_read(void* opaque, std::uint64_t at, void* buffer, std::size_t size) {
        auto& machine = self(opaque);
        require(size > 0 && size <= PCIENIC_CORE_PIECE, "a DMA access is of no size or too long");
        machine.bytes_ += size;
        machine.interlude();
        const auto* from = machine.host(at, size);
        if (!from) return PCIENIC_DMA_FAULT;
        std::memcpy(buffer, from, size);
        return PCIENIC_DMA_OK;
    }
    static PcienicDmaResult dma_write(void* opaque, std::uint64_t at, const void* buffer, std::size_t size) {
        auto& machine = self(opaque);
        require(size > 0 && size <= PCIENIC_CORE_PIECE, "a DMA access is of no size or too long");
        machine.bytes_ += size;
        machine.interlude();
        auto* to = machine.host(at, size);
        if (!to) return PCIENIC_DMA_FAULT;
        std::memcpy(to, buffer, size);
        return PCIENIC_DMA_OK;
    }
    static void send_message(void* opaque, unsigned vector) {
        auto& machine = self(opaque);
        require(vector < machine.core_->irq_enabled, "a message of a vector that is not enabled");
        machine.interlude();
    }
    static void set_intx(void* opaque, bool level) {
        auto& machine = self(opaque);
        require(machine.line_ != level, "the line was set to the level that it had");
        machine.line_ = level;
    }
    static void memory_written(void* opaque, std::uint64_t offset, std::uint64_t size) {
        (void)opaque;
        require(size <= kMemorySize && offset <= kMemorySize - size, "beyond device memory");
    }
    static void guest_error(void* opaque, unsigned code, std::uint64_t info) {
        (void)opaque;
        (void)info;
        require(code > PCIENIC_ERR_CODE_CODE_NONE && code <= PCIENIC_ERR_CODE_CODE_BAD_VALUE, "an unknown error");
    }

    static void schedule(void* opaque) { self(opaque).scheduled_ = true; }
    static bool bus_master(void* opaque) { return self(opaque).bus_master_; }

    static constexpr PcienicOps kOps = {
        .dma_read = dma_read,
        .dma_write = dma_write,
        .send_message = send_message,
        .set_intx = set_intx,
        .schedule = schedule,
        .guest_error = guest_error,
        .bus_master = bus_master,
        .memory_written = memory_written,
        .completed = nullptr,
    };

    Input input_;
    // On the heap, each by itself, for AddressSanitizer.
    std::unique_ptr<std::uint8_t[]> host_ = std::make_unique<std::uint8_t[]>(kHostSize + 4096);
    std::unique_ptr<std::uint8_t[]> memory_ = std::make_unique<std::uint8_t[]>(kMemorySize);
    std::unique_ptr<PcienicCore> core_ = std::make_unique<PcienicCore>();
    bool bus_master_ = true;
    bool scheduled_ = false;
    bool in_run_ = false;
    bool nested_ = false;
    bool line_ = false;
    unsigned accesses_ = 0;
    std::size_t bytes_ = 0;
};

}  // namespace pcienic::fuzz

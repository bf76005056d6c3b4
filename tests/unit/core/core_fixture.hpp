// SPDX-License-Identifier: MIT
// The core in a machine of its own: host memory that exists only where a test mapped it, and a record of everything
// that the core did to its surroundings.
#pragma once

#include "core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace pcienic::test {

using Bytes = std::vector<std::uint8_t>;

// What stands behind the IOMMU: separate ranges of memory. An access that leaves its range is a fault.
class HostMemory {
  public:
    Bytes& map(std::uint64_t address, std::size_t size) { return ranges_[address] = Bytes(size); }
    void unmap(std::uint64_t address) { ranges_.erase(address); }

    std::uint8_t* at(std::uint64_t address, std::size_t length) {
        auto next = ranges_.upper_bound(address);
        if (next == ranges_.begin()) return nullptr;
        auto& [base, bytes] = *std::prev(next);
        const auto offset = address - base;
        if (offset > bytes.size() || length > bytes.size() - offset) return nullptr;
        return bytes.data() + offset;
    }

    template <typename T>
    T get(std::uint64_t address) {
        T value{};
        std::memcpy(&value, at(address, sizeof value), sizeof value);
        return value;
    }
    template <typename T>
    void put(std::uint64_t address, T value) {
        std::memcpy(at(address, sizeof value), &value, sizeof value);
    }

  private:
    std::map<std::uint64_t, Bytes> ranges_;
};

struct ReportedError {
    unsigned code;
    std::uint64_t info;
    bool operator==(const ReportedError&) const = default;
};

inline void PrintTo(const ReportedError& error, std::ostream* out) {
    *out << "{code " << error.code << ", info 0x" << std::hex << error.info << std::dec << "}";
}

struct DmaAccess {
    bool write;
    std::uint64_t address;
    std::size_t length;
};

struct Descriptor {
    std::uint64_t source = 0;
    std::uint64_t destination = 0;
    std::uint32_t length = 0;
    std::uint32_t tag = 0;
    std::uint32_t sg_count = 0;
    std::uint32_t control = 0;  // without PHASE, which the ring adds
};

struct Completion {
    std::uint64_t detail;
    std::uint32_t tag;
    std::uint32_t status;

    unsigned code() const { return status & PCIENIC_COMPLETION_STATUS_CODE_MASK; }
    unsigned index() const {
        return (status & PCIENIC_COMPLETION_STATUS_INDEX_MASK) >> PCIENIC_COMPLETION_STATUS_INDEX_SHIFT;
    }
    bool phase() const { return (status & PCIENIC_COMPLETION_STATUS_PHASE_MASK) != 0; }
};

class CoreFixture : public ::testing::Test {
  public:
    static constexpr std::uint64_t kRing = 0x10'0000;
    static constexpr std::uint64_t kCompletions = 0x20'0000;
    static constexpr std::uint64_t kLists = 0x30'0000;
    static constexpr std::uint64_t kBuffer = 0x1'0000'0000;
    static constexpr std::uint64_t kOther = 0x2'0000'0000;
    static constexpr std::size_t kBufferSize = 1 << 20;
    static constexpr std::size_t kMemorySize = 1 << 20;

    CoreFixture() { init(32); }

    void init(unsigned vectors) {
        memory = Bytes(kMemorySize);
        intx = scheduled = false;
        pcienic_core_init(core.get(), &kOps, this, vectors, memory.data(), memory.size());
    }

    // --- registers ---
    std::uint32_t read32(std::uint64_t offset) {
        return static_cast<std::uint32_t>(pcienic_core_read(core.get(), offset, 4));
    }
    std::uint64_t read64(std::uint64_t offset) { return pcienic_core_read(core.get(), offset, 8); }
    void write32(std::uint64_t offset, std::uint32_t value) { pcienic_core_write(core.get(), offset, value, 4); }
    void write64(std::uint64_t offset, std::uint64_t value) { pcienic_core_write(core.get(), offset, value, 8); }
    std::uint32_t cause(unsigned word = 0) { return read32(PCIENIC_REG_IRQ_CAUSE + word * 4); }
    void set_mask(std::uint32_t bits, unsigned word = 0) { write32(PCIENIC_REG_IRQ_MASK + word * 4, bits); }
    void fire(unsigned vector) { write32(PCIENIC_REG_IRQ_TEST, vector); }

    void expect_latched(unsigned code, std::uint64_t info) {
        EXPECT_EQ(read32(PCIENIC_REG_ERR_STATUS) & PCIENIC_ERR_STATUS_VALID_MASK, PCIENIC_ERR_STATUS_VALID_MASK);
        EXPECT_EQ(read32(PCIENIC_REG_ERR_CODE), code);
        EXPECT_EQ(read64(PCIENIC_REG_ERR_INFO), info);
        EXPECT_THAT(errors, ::testing::Contains(ReportedError{code, info}));
    }
    void expect_nothing_latched() {
        EXPECT_EQ(read32(PCIENIC_REG_ERR_STATUS), 0u);
        EXPECT_THAT(errors, ::testing::IsEmpty());
    }

    // --- the DMA engine, seen from a driver ---
    void map_everything() {
        host.map(kRing, 4096 * PCIENIC_DESCRIPTOR_SIZE);
        host.map(kCompletions, 4096 * PCIENIC_COMPLETION_SIZE);
        host.map(kLists, 2 * 4096);
        host.map(kBuffer, kBufferSize);
        host.map(kOther, kBufferSize);
    }
    void configure_ring(unsigned log2) {
        ring_log2 = log2;
        write64(PCIENIC_REG_DMA_RING_BASE, kRing);
        write64(PCIENIC_REG_DMA_COMPLETION_BASE, kCompletions);
        write32(PCIENIC_REG_DMA_RING_SIZE, log2);
    }
    void enable() {
        tail = 0;
        phase = true;
        write32(PCIENIC_REG_DMA_CTRL, PCIENIC_DMA_CTRL_ENABLE_MASK);
    }
    void start_engine(unsigned log2 = 4) {
        map_everything();
        configure_ring(log2);
        enable();
    }
    // Writes the next descriptor of the ring; returns its index.
    unsigned put_descriptor(const Descriptor& d) {
        const auto index = tail;
        write_descriptor(index, d, phase);
        if (++tail == 1u << ring_log2) {
            tail = 0;
            phase = !phase;
        }
        return index;
    }
    void write_descriptor(unsigned index, const Descriptor& d, bool with_phase) {
        const auto at = kRing + index * PCIENIC_DESCRIPTOR_SIZE;
        host.put(at + PCIENIC_DESCRIPTOR_SOURCE_OFFSET, d.source);
        host.put(at + PCIENIC_DESCRIPTOR_DESTINATION_OFFSET, d.destination);
        host.put(at + PCIENIC_DESCRIPTOR_LENGTH_OFFSET, d.length);
        host.put(at + PCIENIC_DESCRIPTOR_TAG_OFFSET, d.tag);
        host.put(at + PCIENIC_DESCRIPTOR_SG_COUNT_OFFSET, d.sg_count);
        host.put(at + PCIENIC_DESCRIPTOR_CONTROL_OFFSET,
                 d.control | (with_phase ? PCIENIC_DESCRIPTOR_CONTROL_PHASE_MASK : 0u));
    }
    void doorbell() { write32(PCIENIC_DOORBELL_DMA_DOORBELL, 1); }
    // Runs the core as its embedder does: for as long as it asks to be. The bound is for a core that never stops
    // asking.
    void run_all() {
        for (int runs = 0; scheduled && runs < 100'000; ++runs) {
            scheduled = false;
            pcienic_core_run(core.get());
        }
        EXPECT_FALSE(scheduled) << "the core never came to rest";
    }
    Completion completion(unsigned index) {
        const auto at = kCompletions + index * PCIENIC_COMPLETION_SIZE;
        return {host.get<std::uint64_t>(at + PCIENIC_COMPLETION_DETAIL_OFFSET),
                host.get<std::uint32_t>(at + PCIENIC_COMPLETION_TAG_OFFSET),
                host.get<std::uint32_t>(at + PCIENIC_COMPLETION_STATUS_OFFSET)};
    }
    // One command from submission to completion.
    Completion execute(const Descriptor& d) {
        const auto lap = phase;
        const auto index = put_descriptor(d);
        doorbell();
        run_all();
        const auto done = completion(index);
        EXPECT_EQ(done.phase(), lap);
        EXPECT_EQ(done.index(), index);
        EXPECT_EQ(done.tag, d.tag);
        return done;
    }
    unsigned dma_state() { return read32(PCIENIC_REG_DMA_STATUS) & PCIENIC_DMA_STATUS_STATE_MASK; }
    unsigned dma_head() {
        return (read32(PCIENIC_REG_DMA_STATUS) & PCIENIC_DMA_STATUS_HEAD_MASK) >> PCIENIC_DMA_STATUS_HEAD_SHIFT;
    }
    void put_entry(unsigned index, std::uint64_t address, std::uint32_t length, std::uint64_t list = kLists) {
        const auto at = list + index * PCIENIC_SG_ENTRY_SIZE;
        host.put(at + PCIENIC_SG_ENTRY_ADDRESS_OFFSET, address);
        host.put(at + PCIENIC_SG_ENTRY_LENGTH_OFFSET, length);
        host.put(at + PCIENIC_SG_ENTRY_RESERVED_OFFSET, std::uint32_t{0});
    }
    // Bytes that tell every position from its neighbours.
    void number(std::uint8_t* bytes, std::size_t size, unsigned seed = 0) {
        for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 7 + (i >> 8) * 13 + seed);
    }

    HostMemory host;
    Bytes memory;
    std::unique_ptr<PcienicCore> core = std::make_unique<PcienicCore>();
    bool bus_master = true;
    unsigned bus_master_asked = 0;
    bool scheduled = false;
    bool intx = false;
    unsigned ring_log2 = 0;
    unsigned tail = 0;
    bool phase = true;
    std::vector<unsigned> messages;
    std::vector<ReportedError> errors;
    std::vector<DmaAccess> accesses;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> dirtied;
    // Called before an operation is carried out; stands for whatever happens in the machine at that moment.
    std::function<void(const DmaAccess&)> on_dma = [](const DmaAccess&) {};
    std::function<void(unsigned)> on_message = [](unsigned) {};

  private:
    static CoreFixture& self(void* opaque) { return *static_cast<CoreFixture*>(opaque); }

    static PcienicDmaResult dma_read(void* opaque, std::uint64_t address, void* buffer, std::size_t length) {
        auto& machine = self(opaque);
        machine.note({false, address, length});
        const auto* bytes = machine.host.at(address, length);
        if (!bytes) return PCIENIC_DMA_FAULT;
        std::memcpy(buffer, bytes, length);
        return PCIENIC_DMA_OK;
    }
    static PcienicDmaResult dma_write(void* opaque, std::uint64_t address, const void* buffer, std::size_t length) {
        auto& machine = self(opaque);
        machine.note({true, address, length});
        auto* bytes = machine.host.at(address, length);
        if (!bytes) return PCIENIC_DMA_FAULT;
        std::memcpy(bytes, buffer, length);
        return PCIENIC_DMA_OK;
    }
    void note(const DmaAccess& access) {
        accesses.push_back(access);
        on_dma(access);
    }

    static constexpr PcienicOps kOps = {
        .dma_read = dma_read,
        .dma_write = dma_write,
        .send_message =
            [](void* opaque, unsigned vector) {
                self(opaque).messages.push_back(vector);
                self(opaque).on_message(vector);
            },
        .set_intx =
            [](void* opaque, bool level) {
                EXPECT_NE(self(opaque).intx, level) << "the line was set to the level that it had";
                self(opaque).intx = level;
            },
        .schedule = [](void* opaque) { self(opaque).scheduled = true; },
        .guest_error = [](void* opaque, unsigned code,
                          std::uint64_t info) { self(opaque).errors.push_back({code, info}); },
        .bus_master =
            [](void* opaque) {
                ++self(opaque).bus_master_asked;
                return self(opaque).bus_master;
            },
        .memory_written = [](void* opaque, std::uint64_t offset,
                             std::uint64_t length) { self(opaque).dirtied.emplace_back(offset, length); },
        .completed = nullptr,
    };
};

}  // namespace pcienic::test

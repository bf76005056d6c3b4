// SPDX-License-Identifier: MIT
// Walks every register of the description and holds the device to what it says: reset values, who may write what,
// reserved bits, widths. The expectations come from the generated table; only what a register does is named here.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "pcienic/register_table.hpp"
#include "pcienic/registers.hpp"
#include "walked_device.hpp"

namespace pcienic {

// GoogleTest finds this by the namespace of the type.
void PrintTo(const RegisterInfo& reg, std::ostream* out) { *out << reg.name; }

namespace {

using regs::ErrCode;
using uiovfio::Access;
using Latched = std::optional<std::pair<ErrCode::CodeValue, std::uint64_t>>;

std::unique_ptr<uiovfio::Device> opened;

/// Open from before the first test to after the last: a function-level reset at each open would take most of the time.
struct OpenDevice : testing::Environment {
    void SetUp() override {
        opened = std::make_unique<uiovfio::Device>(walk::open_device());
        (void)opened->bar(kBarRegisters).window();  // what mapping opens belongs to no single test either
    }
    void TearDown() override { opened.reset(); }
};
const auto* const kOpenDevice = testing::AddGlobalTestEnvironment(new OpenDevice);

uiovfio::Device& device() { return *opened; }

std::uint64_t load(std::uint64_t offset, unsigned width) {
    const uiovfio::Bar& bar = device().bar(kBarRegisters);
    return width == 64 ? bar.read<std::uint64_t>(offset) : bar.read<std::uint32_t>(offset);
}

void store(std::uint64_t offset, unsigned width, std::uint64_t value) {
    const uiovfio::Bar& bar = device().bar(kBarRegisters);
    if (width == 64) {
        bar.write<std::uint64_t>(offset, value);
    } else {
        bar.write<std::uint32_t>(offset, static_cast<std::uint32_t>(value));
    }
}

uiovfio::Window window() { return device().bar(kBarRegisters).window(); }

std::uint64_t offset_of(const RegisterInfo& reg, unsigned element) {
    return reg.offset + std::uint64_t{element} * reg.bytes();
}

/// What the error latch holds; frees it.
Latched take_error() {
    auto io = window();
    if (!regs::ErrStatus::Valid::read(io)) return std::nullopt;
    const std::pair latched{ErrCode::Code::read(io), regs::ErrInfo::read(io).raw()};
    regs::ErrStatus::write(io, 3u);
    return latched;
}

Latched latched(ErrCode::CodeValue code, std::uint64_t info) { return std::pair{code, info}; }

/// The bits of an element that exist in this device: those of vectors that it lacks do not.
std::uint64_t existing(const RegisterInfo& reg, unsigned element) {
    if (reg.name != "IRQ_CAUSE" && reg.name != "IRQ_MASK") return reg.defined;
    auto io = window();
    const unsigned vectors = regs::Vectors::Count::read(io);
    if (vectors <= element * 32) return 0;
    return vectors - element * 32 >= 32 ? 0xffffffff : (std::uint64_t{1} << (vectors - element * 32)) - 1;
}

class RegisterWalk : public testing::TestWithParam<RegisterInfo> {
  protected:
    void SetUp() override {
        auto io = window();
        regs::Ctrl::Reset::trigger(io);
        regs::Scratch::write(io, 0u);
        regs::Scratch64::write(io, 0u);
    }

    /// Calls body(element, offset) for each element of the register under test.
    template <class Body>
    void for_each_element(Body body) {
        for (unsigned element = 0; element < GetParam().count; ++element) {
            SCOPED_TRACE(fmt::format("{} element {}", GetParam().name, element));
            body(element, offset_of(GetParam(), element));
        }
    }
};

template <class Predicate>
auto registers_where(Predicate predicate) {
    std::vector<RegisterInfo> found;
    for (const RegisterInfo& reg : kRegisters) {
        if (predicate(reg)) found.push_back(reg);
    }
    return testing::ValuesIn(found);
}

std::string name_of(const testing::TestParamInfo<RegisterInfo>& info) { return std::string{info.param.name}; }

bool is_readable(const RegisterInfo& reg) { return reg.access != Access::wo; }
/// Setting DMA_CTRL.ENABLE starts the engine, which its own tests do.
bool stores_bits(const RegisterInfo& reg) { return reg.mask_of(Access::rw) != 0 && reg.name != "DMA_CTRL"; }
bool has_reserved_bits(const RegisterInfo& reg) {
    const std::uint64_t all = ~std::uint64_t{0} >> (64 - reg.width);
    return reg.access != Access::ro && reg.access != Access::wo && reg.defined != all;
}

// --- reset ----------------------------------------------------------------------------------------------------------

class ResetValue : public RegisterWalk {};

TEST_P(ResetValue, IsThereAfterAFunctionLevelReset) {
    device().reset();
    for_each_element(
        [](unsigned, std::uint64_t offset) { EXPECT_EQ(load(offset, GetParam().width), GetParam().reset); });
}

TEST_P(ResetValue, IsThereAfterASoftwareReset) {
    for_each_element(
        [](unsigned, std::uint64_t offset) { EXPECT_EQ(load(offset, GetParam().width), GetParam().reset); });
}

INSTANTIATE_TEST_SUITE_P(Registers, ResetValue, registers_where([](const RegisterInfo& reg) {
                             return is_readable(reg) && !reg.is_volatile && !reg.reset_from_property && !reg.sticky;
                         }),
                         name_of);

class PropertyValue : public RegisterWalk {};

TEST_P(PropertyValue, IsSetAndOutlastsAReset) {
    const std::uint64_t before = load(GetParam().offset, GetParam().width);
    EXPECT_NE(before, 0u);
    device().reset();
    EXPECT_EQ(load(GetParam().offset, GetParam().width), before);
}

INSTANTIATE_TEST_SUITE_P(Registers, PropertyValue,
                         registers_where([](const RegisterInfo& reg) { return reg.reset_from_property; }), name_of);

class StickyRegister : public RegisterWalk {};

TEST_P(StickyRegister, OutlastsEveryResetOfTheFunction) {
    const std::uint64_t value = 0xa5a5a5a5a5a5a5a5 & GetParam().defined;
    store(GetParam().offset, GetParam().width, value);
    device().reset();
    EXPECT_EQ(load(GetParam().offset, GetParam().width), value) << "after a function-level reset";
    auto io = window();
    regs::Ctrl::Reset::trigger(io);
    EXPECT_EQ(load(GetParam().offset, GetParam().width), value) << "after a software reset";
}

INSTANTIATE_TEST_SUITE_P(Registers, StickyRegister, registers_where([](const RegisterInfo& reg) { return reg.sticky; }),
                         name_of);

// --- who may write --------------------------------------------------------------------------------------------------

class ReadOnlyRegister : public RegisterWalk {};

TEST_P(ReadOnlyRegister, IgnoresAWriteAndLatchesIt) {
    walk::expect_latched("READ_ONLY");
    const std::uint64_t before = load(GetParam().offset, GetParam().width);
    store(GetParam().offset, GetParam().width, ~before);
    const Latched error = take_error();
    EXPECT_EQ(load(GetParam().offset, GetParam().width), before);
    EXPECT_EQ(error, latched(ErrCode::CodeValue::kReadOnly, GetParam().offset));
}

INSTANTIATE_TEST_SUITE_P(Registers, ReadOnlyRegister,
                         registers_where([](const RegisterInfo& reg) { return reg.access == Access::ro; }), name_of);

class WriteOnlyRegister : public RegisterWalk {};

TEST_P(WriteOnlyRegister, ReadsAsZero) {
    EXPECT_EQ(load(GetParam().offset, GetParam().width), 0u);
    EXPECT_EQ(take_error(), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(Registers, WriteOnlyRegister,
                         registers_where([](const RegisterInfo& reg) { return reg.access == Access::wo; }), name_of);

class StoringRegister : public RegisterWalk {};

TEST_P(StoringRegister, HoldsEveryPattern) {
    for_each_element([](unsigned element, std::uint64_t offset) {
        const std::uint64_t mask = GetParam().mask_of(Access::rw) & existing(GetParam(), element);
        for (const std::uint64_t pattern : std::initializer_list<std::uint64_t>{
                 0x5555555555555555, 0xaaaaaaaaaaaaaaaa, ~std::uint64_t{0}, 0x0123456789abcdef, 0}) {
            store(offset, GetParam().width, pattern & mask);
            EXPECT_EQ(load(offset, GetParam().width), pattern & mask);
        }
    });
    EXPECT_EQ(take_error(), std::nullopt);
}

TEST_P(StoringRegister, HoldsItsBitsApart) {
    for_each_element([](unsigned element, std::uint64_t offset) {
        const std::uint64_t mask = GetParam().mask_of(Access::rw) & existing(GetParam(), element);
        for (unsigned bit = 0; bit < GetParam().width; ++bit) {
            if ((mask >> bit & 1) == 0) continue;
            store(offset, GetParam().width, std::uint64_t{1} << bit);
            EXPECT_EQ(load(offset, GetParam().width), std::uint64_t{1} << bit);
        }
        store(offset, GetParam().width, 0);
    });
}

TEST_P(StoringRegister, LeavesItsNeighboursAlone) {
    store(GetParam().offset, GetParam().width, GetParam().mask_of(Access::rw) & existing(GetParam(), 0));
    for (const RegisterInfo& other : kRegisters) {
        if (!stores_bits(other)) continue;
        for (unsigned element = 0; element < other.count; ++element) {
            if (offset_of(other, element) == GetParam().offset) continue;
            EXPECT_EQ(load(offset_of(other, element), other.width), other.reset) << other.name << " " << element;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Registers, StoringRegister, registers_where(stores_bits), name_of);

class ReservedBits : public RegisterWalk {};

TEST_P(ReservedBits, ReadAsZeroAndAreLatchedWhenSet) {
    walk::expect_latched("BAD_VALUE");
    const std::uint64_t reserved = ~std::uint64_t{0} >> (64 - GetParam().width) & ~GetParam().defined;
    store(GetParam().offset, GetParam().width, reserved);
    EXPECT_EQ(load(GetParam().offset, GetParam().width) & reserved, 0u);
    EXPECT_EQ(take_error(), latched(ErrCode::CodeValue::kBadValue, GetParam().offset));
}

INSTANTIATE_TEST_SUITE_P(Registers, ReservedBits, registers_where(has_reserved_bits), name_of);

class ReadValue : public RegisterWalk {};

TEST_P(ReadValue, HasNoReservedBits) {
    for_each_element([](unsigned element, std::uint64_t offset) {
        EXPECT_EQ(load(offset, GetParam().width) & ~existing(GetParam(), element), 0u);
    });
}

INSTANTIATE_TEST_SUITE_P(Registers, ReadValue, registers_where(is_readable), name_of);

// --- widths ---------------------------------------------------------------------------------------------------------

class WideRegister : public RegisterWalk {};

TEST_P(WideRegister, ReadsTheSameInHalves) {
    if (stores_bits(GetParam())) store(GetParam().offset, 64, 0x1122334455667788 & GetParam().defined);
    const std::uint64_t whole = load(GetParam().offset, 64);
    EXPECT_EQ(load(GetParam().offset, 32), whole & 0xffffffff);
    EXPECT_EQ(load(GetParam().offset + 4, 32), whole >> 32);
}

INSTANTIATE_TEST_SUITE_P(Registers, WideRegister,
                         registers_where([](const RegisterInfo& reg) { return reg.width == 64; }), name_of);

class WideStoringRegister : public RegisterWalk {};

TEST_P(WideStoringRegister, IsWrittenTheSameInHalves) {
    store(GetParam().offset, 32, 0x55667788);
    EXPECT_EQ(load(GetParam().offset, 64), 0x55667788u) << "the low half acts by itself";
    store(GetParam().offset + 4, 32, 0x11223344);
    EXPECT_EQ(load(GetParam().offset, 64), 0x1122334455667788u);
    store(GetParam().offset, 64, 0);
}

INSTANTIATE_TEST_SUITE_P(Registers, WideStoringRegister,
                         registers_where([](const RegisterInfo& reg) { return reg.width == 64 && stores_bits(reg); }),
                         name_of);

class Block : public testing::Test {
  protected:
    void SetUp() override {
        auto io = window();
        regs::Ctrl::Reset::trigger(io);
    }
};

TEST_F(Block, AnEightByteAccessToTwoRegistersReachesBoth) {
    const std::uint64_t both = load(regs::Id::kOffset, 64);
    EXPECT_EQ(both & 0xffffffff, load(regs::Id::kOffset, 32));
    EXPECT_EQ(both >> 32, load(regs::Version::kOffset, 32));
    const RegisterInfo& mask = *std::ranges::find(kRegisters, "IRQ_MASK", &RegisterInfo::name);
    store(regs::IrqMask::kOffset, 64, existing(mask, 0) | existing(mask, 1) << 32);
    EXPECT_EQ(load(regs::IrqMask::kOffset, 32), existing(mask, 0));
    EXPECT_EQ(load(regs::IrqMask::kOffset + 4, 32), existing(mask, 1));
}

TEST_F(Block, RefusesNarrowAccesses) {
    walk::expect_refused_access();
    const uiovfio::Bar& bar = device().bar(kBarRegisters);
    store(regs::Scratch::kOffset, 32, 0x11223344);
    EXPECT_EQ(bar.read<std::uint8_t>(regs::Scratch::kOffset), 0u);
    EXPECT_EQ(bar.read<std::uint16_t>(regs::Scratch::kOffset), 0u);
    bar.write<std::uint8_t>(regs::Scratch::kOffset, 0xff);
    bar.write<std::uint16_t>(regs::Scratch::kOffset, 0xffff);
    EXPECT_EQ(load(regs::Scratch::kOffset, 32), 0x11223344u);
}

/// The 4-byte words of the register page, and the first of every page behind it, that hold no register.
std::vector<std::uint64_t> gaps() {
    const auto is_register = [](std::uint64_t offset) {
        for (const RegisterInfo& reg : kRegisters) {
            if (offset >= reg.offset && offset < reg.offset + std::uint64_t{reg.count} * reg.bytes()) return true;
        }
        return false;
    };
    std::vector<std::uint64_t> found;
    for (std::uint64_t offset = 0; offset < kBarRegistersBytes; offset += offset < 0x500 ? 4 : 0x800) {
        if (!is_register(offset)) found.push_back(offset);
    }
    return found;
}

TEST_F(Block, LatchesEveryAccessToNothing) {
    walk::expect_latched("BAD_OFFSET");
    EXPECT_THAT(gaps(), testing::Not(testing::IsEmpty()));
    for (const std::uint64_t offset : gaps()) {
        SCOPED_TRACE(fmt::format("offset {:#x}", offset));
        EXPECT_EQ(load(offset, 32), 0u);
        EXPECT_EQ(take_error(), latched(ErrCode::CodeValue::kBadOffset, offset));
        store(offset, 32, 0xffffffff);
        EXPECT_EQ(take_error(), latched(ErrCode::CodeValue::kBadOffset, offset));
    }
}

// --- bits on which a written 1 acts ---------------------------------------------------------------------------------

TEST_F(Block, ErrStatusIsClearedByOnesOnly) {
    walk::expect_latched("READ_ONLY");
    auto io = window();
    store(regs::Id::kOffset, 32, 0);
    store(regs::Id::kOffset, 32, 0);
    EXPECT_EQ(load(regs::ErrStatus::kOffset, 32), 3u) << "VALID and OVERFLOW";
    store(regs::ErrStatus::kOffset, 32, 0);
    EXPECT_EQ(load(regs::ErrStatus::kOffset, 32), 3u) << "a 0 leaves a bit";
    store(regs::ErrStatus::kOffset, 32, 2);
    EXPECT_EQ(load(regs::ErrStatus::kOffset, 32), 1u) << "OVERFLOW alone";
    regs::ErrStatus::Valid::clear(io);
    EXPECT_EQ(load(regs::ErrStatus::kOffset, 32), 0u);
    EXPECT_EQ(ErrCode::Code::read(io), ErrCode::CodeValue::kNone);
}

TEST_F(Block, IrqCauseIsClearedByOnesOnly) {
    auto io = window();
    const unsigned vectors = std::min(4u, device().interrupts().available(uiovfio::InterruptMode::msix));
    device().interrupts().enable(uiovfio::InterruptMode::msix, vectors);
    store(regs::IrqMask::kOffset, 32, existing(*std::ranges::find(kRegisters, "IRQ_MASK", &RegisterInfo::name), 0));
    for (unsigned vector = 0; vector < vectors; ++vector) regs::IrqTest::write(io, vector);
    const std::uint64_t all = (std::uint64_t{1} << vectors) - 1;
    EXPECT_EQ(load(regs::IrqCause::kOffset, 32), all);
    store(regs::IrqCause::kOffset, 32, 0);
    EXPECT_EQ(load(regs::IrqCause::kOffset, 32), all) << "a 0 leaves a bit";
    store(regs::IrqCause::kOffset, 32, 1);
    EXPECT_EQ(load(regs::IrqCause::kOffset, 32), all & ~std::uint64_t{1});
    store(regs::IrqCause::kOffset, 32, all);
    EXPECT_EQ(load(regs::IrqCause::kOffset, 32), 0u);
    device().interrupts().disable();
}

TEST_F(Block, ResetIsDoneAtOnce) {
    store(regs::DmaRingSize::kOffset, 32, 5);
    auto io = window();
    regs::Ctrl::Reset::trigger(io);
    EXPECT_FALSE(regs::Ctrl::Reset::read(io));
    EXPECT_EQ(load(regs::DmaRingSize::kOffset, 32), 0u);
    EXPECT_TRUE(regs::Status::Ready::read(io));
}

TEST_F(Block, TheDoorbellOfAStoppedEngineDoesNothing) {
    auto io = window();
    regs::DmaDoorbell::write(io, 1u);
    EXPECT_EQ(regs::DmaStatus::State::read(io), regs::DmaStatus::StateValue::kDisabled);
    EXPECT_EQ(take_error(), std::nullopt);
}

}  // namespace
}  // namespace pcienic

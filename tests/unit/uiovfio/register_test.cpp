// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <uiovfio/error.hpp>
#include <uiovfio/register.hpp>
#include <uiovfio/window.hpp>
#include <vector>

#include "unchecked_access.hpp"

namespace uiovfio {

namespace {

enum class Speed : std::uint32_t { kSlow = 1, kFast = 3 };

struct Control : Register<0x20, std::uint32_t, Access::rw, 0x1> {
    using Reset = Field<Control, 0, 0, Access::rw1s>;
    using Rate = Field<Control, 4, 7, Access::rw, Speed>;
    using Serial = Field<Control, 8, 15, Access::ro>;
    using Secret = Field<Control, 16, 17, Access::wo>;
};
struct Cause : Register<0x24, std::uint32_t, Access::rw1c> {
    using Valid = Field<Cause, 0, 0, Access::rw1c>;
    using Overflow = Field<Cause, 1, 1, Access::rw1c>;
};
struct Identity : Register<0x00, std::uint64_t, Access::ro> {
    using Whole = Field<Identity, 0, 63, Access::ro>;
};
struct Doorbell : Register<0x30, std::uint16_t, Access::wo> {};
struct Byte : Register<0x33, std::uint8_t, Access::rw> {};
struct Latch : Register<0x34, std::uint32_t, Access::rc> {};
struct Mask : RegisterArray<0x40, std::uint32_t, 4, Access::rw> {
    using Low = Field<Mask, 0, 3, Access::rw>;
};

/// Records every access: what a register does to the bus is all that it does.
struct Bus {
    struct Access {
        char kind;
        std::size_t offset;
        std::size_t width;
        std::uint64_t value;
        friend bool operator==(const Access&, const Access&) = default;
    };

    template <class T>
    T load(std::size_t offset) {
        log.push_back({'R', offset, sizeof(T), 0});
        return static_cast<T>(content);
    }
    template <class T>
    void store(std::size_t offset, std::type_identity_t<T> value) {
        log.push_back({'W', offset, sizeof(T), value});
    }

    std::uint64_t content = 0;
    std::vector<Access> log;
};

template <class Reg>
concept Readable = requires(Bus& bus) { Reg::read(bus); };
template <class Reg>
concept Writable = requires(Bus& bus) { Reg::write(bus, 1); };
template <class Reg>
concept Modifiable = requires(Bus& bus) { Reg::modify(bus, [](auto&) {}); };

// What a register forbids does not compile.
static_assert(Readable<Control> && Writable<Control> && Modifiable<Control>);
static_assert(Readable<Identity> && !Writable<Identity> && !Modifiable<Identity>);
static_assert(!Readable<Doorbell> && Writable<Doorbell> && !Modifiable<Doorbell>);
static_assert(Readable<Cause> && Writable<Cause> && !Modifiable<Cause>);
static_assert(Readable<Latch> && !Writable<Latch>);
static_assert(requires(Bus& bus) { Cause::Valid::clear(bus); });
static_assert(![]<class F>(F*) { return requires(Bus& bus) { F::clear(bus); }; }((Control::Rate*)nullptr));
static_assert(![]<class F>(F*) { return requires(Bus& bus) { F::trigger(bus); }; }((Cause::Valid*)nullptr));

static_assert(RegisterIo<Bus> && RegisterIo<const MappedWindow> && RegisterIo<const Window> && !RegisterIo<int>);
static_assert(Mask::Element<3>::kOffset == 0x4c);
static_assert(std::is_same_v<Control::Reset::ValueType, bool>);
static_assert(std::is_same_v<Control::Serial::ValueType, std::uint32_t>);
static_assert(Identity::Whole::kMask == ~std::uint64_t{0});

// Values are computed when compiling; one that is too large would not compile here.
static_assert(Control::Value{}.set<Control::Rate>(Speed::kFast).raw() == 0x30);
static_assert(Control::Value{0xabcdu}.get<Control::Serial>() == 0xab);

using testing::ElementsAre;

}  // namespace

TEST(Register, IsOneAccessOfItsWidth) {
    Bus bus{.content = 0x1234567890abcdef, .log = {}};
    EXPECT_EQ(Identity::read(bus).raw(), 0x1234567890abcdefu);
    EXPECT_EQ(Control::read(bus).raw(), 0x90abcdefu);
    Doorbell::write(bus, 7);
    Byte::write(bus, 0xff);
    Control::write(bus, Control::Value{}.set<Control::Rate>(Speed::kSlow));
    EXPECT_THAT(bus.log,
                ElementsAre(Bus::Access{'R', 0x00, 8, 0}, Bus::Access{'R', 0x20, 4, 0}, Bus::Access{'W', 0x30, 2, 7},
                            Bus::Access{'W', 0x33, 1, 0xff}, Bus::Access{'W', 0x20, 4, 0x10}));
}

TEST(Register, SnapshotsDoNotTouchTheBus) {
    Bus bus{.content = 0x00ab0031, .log = {}};
    auto value = Control::read(bus);
    EXPECT_EQ(value.get<Control::Rate>(), Speed::kFast);
    EXPECT_EQ(value.get<Control::Serial>(), 0x00u);
    EXPECT_TRUE(value.get<Control::Reset>());
    value.set<Control::Rate>(Speed::kSlow).set<Control::Reset>(false);
    EXPECT_EQ(value, Control::Value{0x00ab0010u});
    EXPECT_EQ(static_cast<std::uint32_t>(value), 0x00ab0010u);
    EXPECT_EQ(bus.log.size(), 1u);
}

TEST(Register, ModifyNeitherStartsNorClearsAnything) {
    Bus bus{.content = 0x00010031, .log = {}};  // RESET reads as 1
    Control::modify(bus, [](auto& value) { value.template set<Control::Rate>(Speed::kSlow); });
    EXPECT_THAT(bus.log, ElementsAre(Bus::Access{'R', 0x20, 4, 0}, Bus::Access{'W', 0x20, 4, 0x00010010}));
}

TEST(Register, TriggerKeepsTheOtherFields) {
    Bus bus{.content = 0x30, .log = {}};
    Control::Reset::trigger(bus);
    EXPECT_THAT(bus.log, ElementsAre(Bus::Access{'R', 0x20, 4, 0}, Bus::Access{'W', 0x20, 4, 0x31}));
}

TEST(Register, ClearWritesThatFieldsOnesAlone) {
    Bus bus{.content = 0x3, .log = {}};
    Cause::Overflow::clear(bus);
    EXPECT_THAT(bus.log, ElementsAre(Bus::Access{'W', 0x24, 4, 0x2}));
}

TEST(Register, FieldsThatDoNotFitAreRefused) {
    Control::Value value;
    try {
        value.set<Control::Rate>(static_cast<Speed>(16));
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.errc(), Errc::out_of_bounds);
        EXPECT_THAT(error.what(), testing::HasSubstr("0x10 does not fit into 4 bits"));
    }
    EXPECT_EQ(value.raw(), 0u);
}

TEST(Register, FieldsAreReadThroughTheBus) {
    Bus bus{.content = 0x10, .log = {}};
    EXPECT_EQ(Control::Rate::read(bus), Speed::kSlow);
    EXPECT_FALSE(Control::Reset::read(bus));
}

TEST(Register, BarriersStandBesideTheAccess) {
    Bus bus{.content = 1, .log = {}};
    EXPECT_EQ(Cause::read_acquire(bus).raw(), 1u);
    Doorbell::write_release(bus, 2);
    EXPECT_THAT(bus.log, ElementsAre(Bus::Access{'R', 0x24, 4, 0}, Bus::Access{'W', 0x30, 2, 2}));
}

TEST(RegisterArray, ReachesEachElement) {
    Bus bus{.content = 0xf5, .log = {}};
    EXPECT_EQ(Mask::read(bus, 2).get<Mask::Low>(), 5u);
    Mask::write(bus, 3, 0xau);
    Mask::modify(bus, 1, [](auto& value) { value.template set<Mask::Low>(2); });
    EXPECT_THAT(bus.log, ElementsAre(Bus::Access{'R', 0x48, 4, 0}, Bus::Access{'W', 0x4c, 4, 0xa},
                                     Bus::Access{'R', 0x44, 4, 0}, Bus::Access{'W', 0x44, 4, 0xf2}));
}

TEST(RegisterArray, HasItsFieldsReadAndWrittenByIndex) {
    struct Port : RegisterArray<0x50, std::uint32_t, 4, Access::rw, 0x100> {
        using Speed = Field<Port, 0, 3, Access::rw>;
        using Change = Field<Port, 8, 8, Access::rw1c>;
    };
    Bus bus{.content = 0x105, .log = {}};
    EXPECT_EQ(Port::Speed::read(bus, 2), 5u);
    Port::Change::clear(bus, 3);
    EXPECT_THAT(bus.log, ElementsAre(Bus::Access{'R', 0x58, 4, 0}, Bus::Access{'R', 0x5c, 4, 0},
                                     Bus::Access{'W', 0x5c, 4, 0x105}));
    EXPECT_THROW(Port::Change::clear(bus, 4), Error);
}

TEST(RegisterArray, RefusesElementsThatItDoesNotHave) {
    Bus bus;
    for (const auto& access : {+[](Bus& io) { (void)Mask::read(io, 4); }, +[](Bus& io) { Mask::write(io, 4, 0); }}) {
        try {
            access(bus);
            ADD_FAILURE();
        } catch (const Error& error) {
            EXPECT_EQ(error.errc(), Errc::out_of_bounds);
        }
    }
    EXPECT_TRUE(bus.log.empty());
}

TEST(MappedWindow, IsAPointerOntoABlock) {
    alignas(8) std::array<std::byte, 64> block{};
    const MappedWindow window{block.data(), block.size()};
    EXPECT_TRUE(window);
    EXPECT_EQ(window.size(), 64u);
    EXPECT_EQ(window.data(), block.data());
    window.store<std::uint64_t>(8, 0x0807060504030201);
    EXPECT_EQ(window.load<std::uint8_t>(9), 2);
    EXPECT_EQ(window.load<std::uint16_t>(10), 0x0403);
    EXPECT_EQ(window.load<std::uint32_t>(12), 0x08070605u);
    Byte::write(window, 0x99);
    EXPECT_EQ(block[0x33], std::byte{0x99});
    EXPECT_FALSE(MappedWindow{});
}

TEST(Window, WithoutADeviceAnswersWithAllOnes) {
    const Window window;
    EXPECT_FALSE(window);
    EXPECT_EQ(test::unchecked::load_32(window, 0), 0xffffffffu);
    test::unchecked::store_32(window, 0, 1);
    EXPECT_EQ(window.size(), 0u);
}

TEST(Window, OnMemoryIsBoundedByItsSize) {
    alignas(8) std::array<std::uint32_t, 4> block{1, 2, 3, 4};
    const Window window{nullptr, 0, 0, 8, block.data()};
    EXPECT_TRUE(window.is_mapped());
    EXPECT_EQ(window.load<std::uint32_t>(4), 2u);
    EXPECT_EQ(test::unchecked::load_32(window, 8), 0xffffffffu);
    EXPECT_EQ(test::unchecked::load_64(window, 4), ~std::uint64_t{0});
    EXPECT_EQ(test::unchecked::load_32(window, ~std::size_t{0} - 1), 0xffffffffu);
    test::unchecked::store_32(window, 8, 99);
    EXPECT_EQ(block[2], 3u);
}

}  // namespace uiovfio

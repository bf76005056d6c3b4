// SPDX-License-Identifier: MIT
#include "cli/selector.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>

#include "cli/exit.hpp"

namespace pcienic::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Property;
using testing::ThrowsMessage;
using uiovfio::Bdf;
using uiovfio::PciFunction;

PciFunction function(const char* bdf, std::uint16_t vendor, std::uint16_t device, std::string driver = "vfio-pci") {
    PciFunction function;
    function.bdf = Bdf::parse(bdf);
    function.vendor = vendor;
    function.device = device;
    function.class_code = 0x020000;
    function.driver = std::move(driver);
    return function;
}

struct SlotCase {
    const char* filter;
    const char* bdf;
    bool matches;
};

class SlotFilterGrammar : public testing::TestWithParam<SlotCase> {};

TEST_P(SlotFilterGrammar, IsThatOfLspci) {
    EXPECT_EQ(SlotFilter::parse(GetParam().filter).matches(Bdf::parse(GetParam().bdf)), GetParam().matches)
        << GetParam().filter << " on " << GetParam().bdf;
}

INSTANTIATE_TEST_SUITE_P(Forms, SlotFilterGrammar,
                         testing::Values(SlotCase{"0000:01:02.3", "0000:01:02.3", true},
                                         SlotCase{"01:02.3", "0000:01:02.3", true},
                                         SlotCase{"01:02.3", "0001:01:02.3", true},  // no domain given: any
                                         SlotCase{"0000:01:02.3", "0001:01:02.3", false},
                                         SlotCase{"02.3", "0000:07:02.3", true}, SlotCase{"02", "0000:07:02.5", true},
                                         SlotCase{"2", "0000:07:03.5", false}, SlotCase{".3", "0000:07:1f.3", true},
                                         SlotCase{".3", "0000:07:1f.4", false}, SlotCase{"07:", "0000:07:1f.4", true},
                                         SlotCase{"7:", "0000:08:1f.4", false}, SlotCase{"1::", "0001:08:1f.4", true},
                                         SlotCase{"1::", "0000:08:1f.4", false},
                                         SlotCase{"*:*:*.*", "0000:08:1f.4", true}, SlotCase{"*", "0000:08:1f.4", true},
                                         SlotCase{"", "0000:08:1f.4", true}, SlotCase{"1F.4", "0000:08:1f.4", true}));

TEST(SlotFilter, RefusesWhatIsNoAddress) {
    for (const char* text : {"20.0", "01:00.8", "100:00.0", "zz", "0:0:0:0.0", "1.2.3", "01-00.0", "0x1:00.0"}) {
        EXPECT_THAT([&] { SlotFilter::parse(text); }, ThrowsMessage<Failure>(HasSubstr("as 0000:01:00.0"))) << text;
    }
}

TEST(IdFilter, TakesVendorDeviceClassAndInterface) {
    const PciFunction nic = function("01:00.0", 0x1af4, 0x10f2);
    for (const char* text : {"1af4:10f2", "1AF4:", ":10f2", "*:*", ":", "1af4:10f2:0200", "::02xx", "::0200:00"}) {
        EXPECT_TRUE(IdFilter::parse(text).matches(nic)) << text;
    }
    for (const char* text : {"8086:10f2", "1af4:10f3", "::0300", "::03xx", "::0200:01"}) {
        EXPECT_FALSE(IdFilter::parse(text).matches(nic)) << text;
    }
}

TEST(IdFilter, RefusesWhatIsNoIdentity) {
    for (const char* text : {"::00200", "::02xx22222", "", "1af4", "1af4:10f2:0200:00:00", "zz:zz", "12345:1"}) {
        EXPECT_THAT([&] { IdFilter::parse(text); }, ThrowsMessage<Failure>(HasSubstr("as 1af4:10f2"))) << text;
    }
}

class Choice : public testing::Test {
  protected:
    void parse(std::vector<std::string> arguments) {
        CLI::App app;
        selector_.add_options(app);
        std::ranges::reverse(arguments);
        app.parse(arguments);
    }

    std::string refusal(const std::vector<PciFunction>& functions) {
        try {
            static_cast<void>(selector_.choose(functions));
        } catch (const Failure& failure) {
            EXPECT_EQ(failure.code(), Exit::no_device);
            return failure.what();
        }
        ADD_FAILURE() << "a device was chosen";
        return {};
    }

    const PciFunction nic_ = function("00:04.0", 0x1af4, 0x10f2);
    const PciFunction second_ = function("00:05.0", 0x1af4, 0x10f2, "");
    const PciFunction edu_ = function("00:06.0", 0x1234, 0x11e8);
    DeviceSelector selector_;
};

TEST_F(Choice, IsTheOnlyPcienicByDefault) { EXPECT_EQ(selector_.choose({edu_, nic_}).bdf, nic_.bdf); }

TEST_F(Choice, ListsThePcienicsWhereThereAreSeveral) {
    EXPECT_THAT(refusal({edu_, nic_, second_}),
                AllOf(HasSubstr("2 devices match"), HasSubstr("name one with -s BDF"),
                      HasSubstr("0000:00:04.0 [1af4:10f2] driver vfio-pci"),
                      HasSubstr("0000:00:05.0 [1af4:10f2] no driver"), testing::Not(HasSubstr("11e8"))));
}

TEST_F(Choice, SaysWhatToDoWhereThereIsNone) {
    EXPECT_THAT(refusal({edu_}), AllOf(HasSubstr("no pcienic (1af4:10f2)"), HasSubstr("--backend sim")));
}

TEST_F(Choice, FollowsTheSlot) {
    parse({"-s", "00:06.0"});
    EXPECT_EQ(selector_.choose({edu_, nic_}).bdf, edu_.bdf);
}

TEST_F(Choice, FollowsTheIdentity) {
    parse({"-d", "1234:"});
    EXPECT_EQ(selector_.choose({edu_, nic_}).bdf, edu_.bdf);
}

TEST_F(Choice, NamesTheFilterThatMatchedNothing) {
    parse({"-s", "07:00.0"});
    EXPECT_THAT(refusal({edu_, nic_}), AllOf(HasSubstr("no device matches -s 07:00.0"), HasSubstr("pcienic-ls")));
}

}  // namespace
}  // namespace pcienic::cli

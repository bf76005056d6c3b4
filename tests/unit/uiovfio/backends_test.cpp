// SPDX-License-Identifier: MIT
/// The list of backends, and the choice among them: what is told of them anywhere comes from the one list.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <uiovfio/uiovfio.hpp>

#include "fake_tree.hpp"

namespace uiovfio {

using testing::HasSubstr;

namespace {

constexpr const char* kDevice = "0000:01:00.0";
const Bdf kBdf{0, 1, 0, 0};

}  // namespace

TEST(Backends, HaveNamesOfTheirOwnAndTellWhatTheyGoThrough) {
    std::set<std::string_view> names{"auto"};
    for (const BackendTraits& traits : backends()) {
        EXPECT_TRUE(names.insert(traits.name).second) << traits.name;
        EXPECT_FALSE(traits.summary.empty()) << traits.name;
        EXPECT_EQ(find_backend(traits.name), &traits);
    }
    EXPECT_EQ(find_backend("auto"), nullptr);
    EXPECT_EQ(find_backend("smoke-signals"), nullptr);
}

TEST(Backends, NameEachFeature) {
    std::set<std::string_view> names;
    for (unsigned feature = 0; feature <= static_cast<unsigned>(Feature::events); ++feature)
        EXPECT_TRUE(names.insert(to_string(static_cast<Feature>(feature))).second) << feature;
    EXPECT_FALSE(names.contains("unknown"));
}

TEST(Backends, AreAllNamedByTheRemedyForAWrongName) {
    try {
        (void)Device::open(kBdf, {.backend = "smoke-signals"});
        ADD_FAILURE() << "it opened";
    } catch (const Error& error) {
        EXPECT_EQ(error.errc(), Errc::unknown_backend);
        EXPECT_EQ(error.object(), "\"smoke-signals\"");
        EXPECT_THAT(std::string{error.remedy()}, HasSubstr("use auto, vfio"));
        for (const BackendTraits& traits : backends()) EXPECT_THAT(error.what(), HasSubstr(traits.name));
    }
}

class WhyNot : public testing::Test {
  protected:
    WhyNot() { tree.add_function(kDevice); }

    test::FakeTree tree;
};

TEST_F(WhyNot, KnowsTheNamesOfTheBackends) {
    const auto obstacle = why_not(kBdf, "smoke-signals", tree.root);
    ASSERT_TRUE(obstacle);
    EXPECT_EQ(obstacle->errc, Errc::unknown_backend);
    EXPECT_EQ(obstacle->remedy, remedy(Errc::unknown_backend));
    EXPECT_EQ(why_not(Bdf{0, 9, 0, 0}, "vfio", tree.root)->errc, Errc::no_such_device);
}

TEST_F(WhyNot, SeesNothingInTheWayOfASimulatedDevice) { EXPECT_FALSE(why_not(kBdf, "sim", tree.root)); }

TEST_F(WhyNot, SeesALockedDownKernel) {
    test::FakeTree::put(tree.device(kDevice) / "config", "");
    ASSERT_FALSE(why_not(kBdf, "sysfs", tree.root));
    test::FakeTree::put(tree.root.sys / "kernel/security/lockdown", "none integrity [confidentiality]\n");
    for (const char* backend : {"sysfs", "uio"}) {
        const auto obstacle = why_not(kBdf, backend, tree.root);
        ASSERT_TRUE(obstacle) << backend;
        EXPECT_EQ(obstacle->errc, Errc::permission_denied);
        EXPECT_THAT(obstacle->what_was_wrong, HasSubstr("confidentiality"));
        EXPECT_THAT(obstacle->remedy, HasSubstr("use vfio"));
    }
    std::error_code ec;
    EXPECT_FALSE(Device::open(kBdf, {.backend = "sysfs", .share_with_driver = true, .root = tree.root}, ec));
    EXPECT_EQ(ec, Errc::permission_denied);
    test::FakeTree::put(tree.root.sys / "kernel/security/lockdown", "[none] integrity confidentiality\n");
    EXPECT_FALSE(why_not(kBdf, "sysfs", tree.root));
}

TEST_F(WhyNot, TellsForAutoWhatOpeningWouldTell) {
    tree.set_group(kDevice, 7);
    tree.add_vfio_nodes(7);
    for (const char* driver : {"", "e1000e"}) {
        tree.set_driver(kDevice, driver);
        const auto obstacle = why_not(kBdf, "auto", tree.root);
        ASSERT_TRUE(obstacle);
        EXPECT_EQ(obstacle->errc, Errc::not_bound);
        EXPECT_THAT(obstacle->remedy, HasSubstr("bind vfio-pci"));
        std::error_code ec;
        EXPECT_FALSE(Device::open(kBdf, {.root = tree.root}, ec));
        EXPECT_EQ(ec, Errc::not_bound) << "what no driver has is not quietly taken by another way in";
    }
    tree.set_driver(kDevice, "vfio-pci");
    EXPECT_FALSE(why_not(kBdf, "auto", tree.root));
}

}  // namespace uiovfio

// SPDX-License-Identifier: GPL-2.0-or-later
// The comparison itself: it must see a difference.
#include "lspci_fields.hpp"

#include <gmock/gmock.h>

namespace {

using namespace pcienic::test;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr const char* kListing =
    "01:00.0 0200: 1af4:10f2 (rev 01)\n"
    "\tControl: I/O+ Mem- BusMaster+\n"
    "\tRegion 0: Memory at fe000000 (32-bit, non-prefetchable) [size=64K]\n"
    "\tCapabilities: [40] MSI: Enable- Count=1/4\n"
    "\t\tAddress: 00000000  Data: 0000\n"
    "\tCapabilities: [100 v1] Advanced Error Reporting\n"
    "\t\tAERCap:\tFirst Error Pointer: 00, ECRCGenCap+\n"
    "\t\t\tMultHdrRecCap-\n"
    "00: f4 1a f2 10\n";

TEST(LspciFields, NamesFieldsByWhereTheyStand) {
    const Fields fields = parse_listing(kListing).at("01:00.0");
    EXPECT_THAT(fields, Contains(Pair("Control/BusMaster", "+")));
    EXPECT_THAT(fields, Contains(Pair("Capabilities [40]/Count", "1/4")));
    EXPECT_THAT(fields, Contains(Pair("Capabilities [100]/AERCap/MultHdrRecCap", "-")));
    EXPECT_THAT(fields, Contains(Pair("Capabilities [100]/AERCap/First Error Pointer: 00", "present")));
    EXPECT_THAT(fields, Contains(Pair("dump/00", "f4 1a f2 10")));
}

TEST(LspciFields, FindsNoDifferenceBetweenEquals) {
    EXPECT_THAT(missing_fields(parse_listing(kListing).at("01:00.0"), parse_listing(kListing).at("01:00.0")),
                IsEmpty());
}

TEST(LspciFields, SeesEveryKindOfDifference) {
    const auto differences_with = [](const std::string& from, const std::string& to) {
        std::string changed = kListing;
        changed.replace(changed.find(from), from.size(), to);
        return missing_fields(parse_listing(kListing).at("01:00.0"), parse_listing(changed).at("01:00.0"));
    };
    EXPECT_THAT(differences_with("BusMaster+", "BusMaster-"), ElementsAre(HasSubstr("Control/BusMaster")));
    EXPECT_THAT(differences_with("fe000000", "fe100000"), ElementsAre(HasSubstr("fe000000")));
    EXPECT_THAT(differences_with("size=64K", "size=32K"), ElementsAre(HasSubstr("64K")));
    EXPECT_THAT(differences_with("Data: 0000", "Data: 0001"), ElementsAre(HasSubstr("Data: 0000")));
    EXPECT_THAT(differences_with("\t\t\tMultHdrRecCap-\n", ""), ElementsAre(HasSubstr("MultHdrRecCap")));
    EXPECT_THAT(differences_with("f4 1a", "f4 1b"), ElementsAre(HasSubstr("dump/00")));
    EXPECT_THAT(differences_with("(rev 01)", "(rev 02)"), ElementsAre(HasSubstr("heading")));
}

TEST(LspciFields, TakesFurtherFieldsOfOurs) {
    EXPECT_THAT(missing_fields(parse_listing(kListing).at("01:00.0"),
                               parse_listing(std::string(kListing) + "\n\tVFIO: yes\n").at("01:00.0")),
                IsEmpty());
}

TEST(LspciFields, LeavesOutWhatIsKnown) {
    const Fields reference = parse_listing(kListing).at("01:00.0");
    Fields ours = reference;
    ours.erase("Control/Mem");
    EXPECT_THAT(missing_fields(reference, ours, {{"Control/.*", "a test"}}), IsEmpty());
}

}  // namespace
